"""`squib host` for real, in namespaces: what it changes, that all of it is put back, and what a guest then can and cannot do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from namespaces import SQUIB, Guest, Namespace, eventually, heard, uplink
from support import tool

pytestmark = [pytest.mark.root, pytest.mark.tool]

SEED_MAC = "AA:FC:00:00:00:01"
TAP = ("--user", "nobody", "--tap", "tap0")


@pytest.fixture(scope="module")
def outside() -> Iterator[Namespace]:
    with Namespace() as namespace:
        yield namespace


@pytest.fixture
def host(outside: Namespace) -> Iterator[Namespace]:
    tool("nft")
    with Namespace() as namespace:
        uplink(namespace, outside)
        yield namespace
        namespace.run("ip", "link", "del", "up0")


def check(host: Namespace, *, status: int) -> dict[str, tuple[str, str, str | None]]:
    report = json.loads(host.squib("host", "check", "--json", status=status))
    assert report["ok"] is (status == 0)
    return {row["name"]: (row["state"], row["found"], row["remedy"]) for row in report["checks"]}


def state(host: Namespace) -> tuple[str, str, str]:
    return host.rules(), host.settings(), host.run("ip", "-4", "-o", "address")


def dockers(host: Namespace) -> None:
    """As Docker leaves a host: it forwards, and drops what it does not know."""
    tool("iptables")
    host.run("iptables", "-P", "FORWARD", "DROP")
    host.run("iptables", "-N", "DOCKER-USER")
    host.run("iptables", "-A", "DOCKER-USER", "-j", "RETURN")
    host.run("iptables", "-I", "FORWARD", "-j", "DOCKER-USER")


def commands(dry: str) -> str:
    """What a dry run prints, without the rules."""
    return "".join(line for line in dry.splitlines(keepends=True) if not line.startswith(" "))


def test_nft_makes_the_same_table_of_the_rules_that_a_dry_run_prints(host: Namespace) -> None:
    wish = ("--allow-host-port", "5432", "--allow-host-port", "53/udp")
    dry = json.loads(host.squib("host", "setup", *wish, "--dry-run", "--json"))
    (rules,) = [step["rules"] for step in dry["steps"] if step["rules"]]
    host.squib("host", "setup", *wish)
    made = host.run("nft", "list", "table", "inet", "squib")
    host.run("nft", "delete table inet squib")
    host.run("nft", rules)
    assert host.run("nft", "list", "table", "inet", "squib") == made
    host.run("nft", "delete table inet squib")
    host.run("nft", made)
    assert check(host, status=0)["rules"] == ("ok", "in force; guests may reach 5432/tcp, 53/udp of the host", None)


def test_all_is_put_back_and_other_peoples_rules_are_not_touched(host: Namespace) -> None:
    dockers(host)
    host.run("nft", "add table inet mine; add chain inet mine c { type filter hook forward priority 5; }; add set inet mine squib { type ifname; }")  # fmt: skip
    before = state(host)
    assert check(host, status=69)["rules"][0] == "missing"
    told = host.squib("host", "setup", *TAP, "--docker-user", "--dry-run")
    assert state(host) == before, "a dry run does nothing"
    assert '        iifname @outbound oifname "up0" accept' in told
    told = commands(told)
    done = host.squib("host", "setup", *TAP, "--docker-user")
    assert done.startswith(told)
    assert state(host) != before
    rows = check(host, status=0)
    assert rows["forwarding"] == ("ok", "on for up0", None)
    assert rows["taps"] == ("ok", "tap0 172.17.100.1/24 for nobody; 0 of machines", None)
    assert "inet mine" in host.rules()
    set_up = state(host)
    assert host.squib("host", "setup").startswith("This host is set up already.")
    assert state(host) == set_up
    undone = host.squib("host", "teardown", "--dry-run")
    assert host.squib("host", "teardown") == undone
    assert len(undone.splitlines()) == len(told.splitlines())
    assert state(host) == before
    assert host.run("ls", "/run/squib").split() == ["lock"]
    assert host.squib("host", "teardown") == "Nothing of squib's is here.\n"


def test_a_host_that_forwarded_before_goes_on(host: Namespace) -> None:
    host.setting("net/ipv4/ip_forward", "1")
    before = state(host)
    assert "forwarding" not in host.squib("host", "setup", "--dry-run")
    host.squib("host", "setup")
    host.squib("host", "teardown")
    assert state(host) == before


def test_forwarding_is_on_for_the_uplink_alone(host: Namespace) -> None:
    host.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    host.setting("net/ipv4/conf/lan0/forwarding", "0")
    host.squib("host", "setup")
    assert [host.setting(f"net/ipv4/conf/{one}/forwarding") for one in ("up0", "lan0", "all")] == ["1", "0", "0"]


# Kills itself at the moment of the Nth writing of the record: before it (a change was made) or after it (one is to be made).
KILLED = """
import os, signal, sys
from squib.cli.main import cli
from squib.net.record import Record
write, left = Record.save, [int(sys.argv[1])]
def save(self, operations):
    left[0] -= 1
    if left[0] == 0 and sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, operations)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
Record.save = save
cli(["host", "setup", *sys.argv[3:]])
"""


def test_killed_at_any_moment_teardown_puts_back_what_was_begun(host: Namespace) -> None:
    before = state(host)
    steps = commands(host.squib("host", "setup", *TAP, "--dry-run")).count("\n")
    for step in range(1, steps + 1):
        for number, moment in ((2 * step - 1, "after"), (2 * step, "before")):
            command = host.command(sys.executable, "-c", KILLED, str(number), moment, *TAP)
            killed = subprocess.run(command, capture_output=True, timeout=60, check=False)
            assert killed.returncode == -signal.SIGKILL, killed
            host.squib("host", "teardown")
            assert state(host) == before, (number, moment)


def test_what_somebody_else_set_meanwhile_stays(host: Namespace) -> None:
    host.squib("host", "setup", *TAP)
    host.run("ip", "link", "del", "tap0")
    host.run("ip", "link", "add", "tap0", "type", "veth", "peer", "name", "far0")
    host.run("nft", "flush", "ruleset")
    rows = check(host, status=69)
    assert rows["rules"][1] == "squib's table was removed by somebody: this host is not set up"
    assert "tap0" in rows["taps"][1]
    said = host.squib("host", "teardown")
    assert "tap0 is not a tap of squib's, and stays" in said
    assert host.run("ip", "-o", "link", "show", "tap0")
    assert host.setting("net/ipv4/conf/up0/forwarding") == "0"


def test_a_flushed_ruleset_is_found_and_mended(host: Namespace) -> None:
    host.squib("host", "setup", *TAP, "--allow-host-port", "53/udp")
    whole = host.rules()
    host.run("nft", "delete rule inet squib to_host handle " + last_handle(host, "to_host"))
    assert check(host, status=69)["rules"][1] == "somebody changed squib's table"
    host.squib("host", "setup")
    assert host.rules() == whole
    host.run("nft", "flush", "ruleset")
    host.squib("host", "setup")
    assert host.rules() == whole


def last_handle(host: Namespace, chain: str) -> str:
    return host.run("nft", "-a", "list", "chain", "inet", "squib", chain).rpartition("# handle ")[2].split()[0]


def test_another_firewalls_drop_is_found_with_what_mends_it(host: Namespace, outside: Namespace) -> None:
    outside.serve("192.0.2.2", 8001)
    dockers(host)
    warned = host.squib("host", "setup", *TAP)
    assert "Docker drops what squib forwards" in warned
    assert check(host, status=69)["other firewalls"][2] == "squib host setup --docker-user"
    with Guest(host, "tap0", "172.17.100.2/24", "172.17.100.1", SEED_MAC) as guest:
        assert guest.ask("192.0.2.2", 8001, patience=1) == "TimeoutError"
        host.squib("host", "setup", "--docker-user")
        assert check(host, status=0)["other firewalls"][0] == "ok"
        assert guest.ask("192.0.2.2", 8001) == "192.0.2.1"
    host.squib("host", "teardown")
    assert "squib" not in host.rules()
    host.run("iptables", "-F")
    host.run("iptables", "-X")
    mend = check(host, status=69)["other firewalls"][2]
    assert mend == "iptables -I FORWARD -i squib+ -j ACCEPT && iptables -I FORWARD -o squib+ -j ACCEPT"
    host.run("sh", "-c", mend)
    assert check(host, status=69)["other firewalls"][0] == "ok"
    host.run("sh", "-c", mend.replace("-I", "-D"))
    host.run("nft", "add table ip strict; add chain ip strict f { type filter hook forward priority 0; policy drop; }")
    host.run("iptables", "-P", "FORWARD", "ACCEPT")
    mend = check(host, status=69)["other firewalls"][2]
    assert mend is not None
    host.run("sh", "-c", mend)
    assert check(host, status=69)["other firewalls"][0] == "ok"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--uplink", "no0"), 66, "there is no network device no0"),
        (("--uplink", "a b"), 64, "no name for a network device"),
        (("--tap", "tap0"), 64, "--tap is for a user"),
        (("--user", "nobody"), 64, "name it: --tap tap0"),
        (("--user", "nemo", "--tap", "tap0"), 66, "there is no user nemo"),
        (("--user", "nobody", "--tap", "up0"), 75, "up0 already, which squib did not make"),
        (("--user", "nobody", "--tap", "squib0"), 64, "those of machines"),
        ((*TAP, "--address", "192.0.2.77/24"), 75, "meets 192.0.2.0/24, which the host routes by up0"),
        ((*TAP, "--address", "172.17.100.1"), 64, "leaves no room"),
        (("--pool", "172.20.0.0/16"), 64, "where Docker takes its networks from"),
        (("--pool", "192.0.2.0/24"), 64, "no private network"),
        (("--allow-host-port", "0"), 64, "no port"),
        (("--docker-user",), 66, "there is no chain DOCKER-USER"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_changed(
    host: Namespace, arguments: tuple[str, ...], status: int, says: str
) -> None:
    before = state(host)
    assert says in host.squib("host", "setup", *arguments, status=status)
    assert state(host) == before


def test_no_default_route(host: Namespace) -> None:
    host.run("ip", "route", "del", "default")
    assert "name it: --uplink DEVICE" in host.squib("host", "setup", status=66)
    host.squib("host", "setup", "--uplink", "up0")
    assert check(host, status=0)["uplink"] == ("ok", "up0", None)


def test_only_root_may_and_the_command_with_sudo_is_told(host: Namespace) -> None:
    plain = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", SQUIB, "host")
    done = subprocess.run(host.command(*plain, "setup", "--uplink", "up0"), capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr:
        pytest.skip("this .venv lies where no other user may read it")
    assert done.returncode == 77
    assert f"try: sudo {SQUIB} host setup --uplink up0" in done.stderr
    dry = subprocess.run(host.command(*plain, "setup", "--dry-run"), capture_output=True, text=True, check=True)
    assert "nft add table inet squib" in dry.stdout
    looked = subprocess.run(host.command(*plain, "check"), capture_output=True, text=True, check=False)
    assert looked.returncode == 69
    assert "only root may read" in looked.stdout


def test_without_nft_nothing_is_begun(host: Namespace) -> None:
    host.run("sh", "-c", "mkdir /run/empty && mount --bind /run/empty /usr/sbin")
    said = subprocess.run(
        host.command("env", f"PATH={Path(SQUIB).parent}:/bin", SQUIB, "host", "setup"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 69
    assert "sudo apt-get install nftables" in said.stderr


def test_the_seeds_guest_goes_out_and_nowhere_else(host: Namespace, outside: Namespace) -> None:
    """The tap of `--user U --tap tap0`, and behind it a guest: as the seed has it, and then a hostile one."""
    host.squib("host", "setup", *TAP, "--allow-host-port", "7003", "--allow-host-port", "7004/udp")
    device = json.loads(host.run("ip", "-d", "-j", "link", "show", "tap0"))[0]["linkinfo"]["info_data"]
    assert (device["type"], device["user"]) == ("tap", "nobody")
    outside.serve("192.0.2.2", 8002)
    host.serve("0.0.0.0", 7002)
    host.serve("0.0.0.0", 7003)
    with Guest(host, "tap0", "172.17.100.2/24", "172.17.100.1", SEED_MAC) as guest:
        guest.serve("172.17.100.2", 80)
        assert guest.ask("192.0.2.2", 8002) == "192.0.2.1", "it leaves by the uplink's address"
        assert host.ask("172.17.100.2", 80) == "172.17.100.1", "the host reaches it"
        assert outside.ask("172.17.100.2", 80, patience=1) == "TimeoutError", "nobody else does"
        assert guest.ask("172.17.100.1", 7003) == "172.17.100.2", "a service that was asked for"
        for address in ("172.17.100.1", "192.0.2.1"):
            assert guest.ask(address, 7002, patience=0.5) == "TimeoutError", "any other service of the host"
        assert guest.ask("192.0.2.1", 7003, patience=0.5) == "TimeoutError", "at its gateway only"
        hostile(host, outside, guest)


def hostile(host: Namespace, outside: Namespace, guest: Guest) -> None:
    asked_for, loopback = host.listen("0.0.0.0", 7004), host.listen("127.0.0.1", 7005)
    abroad = outside.listen("0.0.0.0", 8003)
    outside.run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    host.run("ip", "route", "add", "169.254.169.254/32", "via", "192.0.2.2")
    guest.forge("172.17.100.1", 7004, "control")
    assert heard(asked_for) == "172.17.100.2 control", "forged frames do arrive where they may"
    guest.forge("192.0.2.2", 8003, "control")
    assert heard(abroad) == "192.0.2.1 control"
    before = host.dropped("from_taps")
    for source in ("192.0.2.2", "8.8.8.8", "127.0.0.1", "0.0.0.0", "10.83.0.2", "224.0.0.1"):
        guest.forge("172.17.100.1", 7004, "spoofed", source=source)
        guest.forge("192.0.2.2", 8003, "spoofed", source=source)
    guest.forge("127.0.0.1", 7005, "loopback")
    eventually(lambda: host.dropped("from_taps") >= before + 13)
    before = host.dropped("leaving")
    guest.forge("169.254.169.254", 8003, "metadata")
    eventually(lambda: host.dropped("leaving") == before + 1)
    tracked = int(host.setting("net/netfilter/nf_conntrack_count"))
    guest.forge("192.0.2.2", 8003, "flood", source="8.8.8.8", count=5000)
    assert int(host.setting("net/netfilter/nf_conntrack_count")) <= tracked + 5, "a flood of lies costs no memory"
    assert guest.run("ip", "-6", "-o", "address", "show", "eth0") != "", "the guest has IPv6"
    assert host.run("ip", "-6", "-o", "address", "show", "tap0") == "", "the host does not answer it"
    guest.forge("172.17.100.1", 7004, "last")
    guest.forge("192.0.2.2", 8003, "last")
    assert heard(asked_for) == "172.17.100.2 last", "nothing came between"
    assert heard(abroad) == "192.0.2.1 last"
    guest.forge("172.17.100.1", 7005, "not asked for")
    host.run("bash", "-c", "echo -n over > /dev/udp/127.0.0.1/7005")
    assert heard(loopback) == "127.0.0.1 over", "nor there"
