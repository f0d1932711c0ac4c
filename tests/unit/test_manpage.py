"""The help page, as people read it and as groff does."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from squib.guest.manpage import groff, page, plain
from squib.guest.spec import Key, Spec
from support import golden, tool

CLOCK = Spec(
    "clock", "answers every request with the time as JSON", "m:f", (Key("port", "port", 80, "Listening HTTP port."),), ()
)
SHOP = Spec(
    "shop",
    "",
    "m:f",
    (
        Key("greeting", "string", "", "What to say, in 'quotes', with a \\ and a ☃: " + "long " * 30),
        Key("great", "bool", True, ".TH"),
    ),
    (),
)


@pytest.mark.parametrize(("spec", "command"), [(CLOCK, "squib serve"), (SHOP, "squib serve ./shop")], ids=["clock", "shop"])
def test_golden(spec: Spec, command: str, update_golden: bool) -> None:
    golden(f"serve-help-{spec.name}.plain.txt", plain(page(spec, command)), update=update_golden)
    golden(f"serve-help-{spec.name}.groff.txt", groff(page(spec, command), spec.name), update=update_golden)


@pytest.mark.tool
@pytest.mark.parametrize("spec", [CLOCK, SHOP], ids=["clock", "shop"])
def test_groff_finds_no_fault(spec: Spec) -> None:
    source = groff(page(spec, "squib serve"), spec.name)
    done = subprocess.run(
        [tool("groff"), "-man", "-ww", "-Tutf8", "-P-cbou"], input=source.encode(), capture_output=True, check=True
    )
    assert done.stderr == b""
    assert b"APPLICATION OPTIONS" in done.stdout


def test_the_pager_gets_the_page_and_no_shell_is_asked() -> None:
    program = (
        "import sys; from squib.guest import manpage, spec\n"
        "s = spec.Spec('shop', '', 'm:f', (), ())\n"
        "sys.exit(manpage.show(s, 'auto', 'shop', {'TERM': 'xterm', 'PAGER': \"cat -A '' $(id)\", 'MANPAGER': 'no-such-pager', 'PATH': '/bin:/usr/bin'}))"
    )
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=slave, stderr=slave, check=False, timeout=30, env=dict(os.environ)
    )
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0
    assert "$(id)" in shown  # cat was told to open that file
    assert "uid=" not in shown
