"""The plans of the host's network: addresses never meet, changes are undone whole, and nothing that is read makes a traceback."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import SquibError, TakenError
from squib.model.host_network import DOCKERS, parse_device_name, parse_host_address, parse_host_port, parse_pool
from squib.net import addresses, changing, ruleset
from squib.net.addresses import POOLS, choose_pool, free_slot, slot
from squib.net.firewalls import blockers, has_docker, legacy_policy_drops

POOL = IPv4Network("10.83.0.0/24")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["forward", "drop", "FORWARD", "ip", "filter"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.text(max_size=5) | st.sampled_from(["chain", "rule", "set", "map", "hook", "policy", "family", "table", "name", "expr", "elem", "match"]),
        inner,
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.sampled_from(POOLS), st.integers(0, 1000), st.integers(0, 1000))
def test_two_slots_share_nothing(pool: IPv4Network, one: int, other: int) -> None:
    a, b = slot(pool, one), slot(pool, other)
    assert a.host.network == a.guest.network
    assert a.host.ip != a.guest.ip
    assert a.host.network.subnet_of(pool)
    assert not a.host.network.overlaps(DOCKERS)
    assert int(a.guest_mac[:2], 16) & 3 == 2, "unicast, and locally administered"
    if one != other:
        assert not a.host.network.overlaps(b.host.network)
        assert a.tap != b.tap
        assert a.guest_mac != b.guest_mac


@given(st.sets(st.integers(0, 63)), st.sets(st.integers(0, 63)), st.sets(st.integers(0, 63)))
def test_a_free_slot_is_free_or_the_pool_is_full(leased: set[int], routed: set[int], there: set[int]) -> None:
    taken = {str(slot(POOL, one).host.network) for one in leased}
    routes = [slot(POOL, one).host.network for one in routed]
    devices = {slot(POOL, one).tap for one in there}
    if len(leased | routed | there) == 64:
        with pytest.raises(TakenError, match="no network is left"):
            free_slot(POOL, taken, routes, devices)
        return
    one = free_slot(POOL, taken, routes, devices)
    assert str(one.host.network) not in taken
    assert one.host.network not in routes
    assert one.tap not in devices


def test_a_route_over_the_whole_pool_leaves_nothing() -> None:
    with pytest.raises(TakenError, match=r"routes 10\.0\.0\.0/8 elsewhere"):
        free_slot(POOL, set(), [IPv4Network("10.0.0.0/8")], set())


@given(
    st.lists(st.sampled_from([*POOLS, IPv4Network("10.0.0.0/8"), IPv4Network("192.168.1.0/24"), IPv4Network("192.168.0.0/16")]))
)
def test_a_chosen_pool_meets_no_route_and_never_dockers(routes: list[IPv4Network]) -> None:
    try:
        pool = choose_pool(routes)
    except TakenError:
        assert all(any(pool.overlaps(route) for route in routes) for pool in addresses.POOLS)
        return
    assert not pool.overlaps(DOCKERS)
    assert not any(pool.overlaps(route) for route in routes)


@given(st.text(max_size=20) | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}", fullmatch=True))
def test_words_of_people_are_taken_or_refused(text: str) -> None:
    for parse in (parse_device_name, parse_host_address, parse_host_port, parse_pool):
        try:
            value = parse(text)
        except SquibError as error:
            assert error.hint
            continue
        if isinstance(value, IPv4Network):
            assert not value.overlaps(DOCKERS)


@given(st.lists(JSON, max_size=6))
def test_whatever_nft_lists_is_read(listing: list[object]) -> None:
    for one in blockers(listing, ("squib+",)):
        assert one.remedy
    has_docker(listing)
    ruleset.digest(listing)
    ruleset.taps(listing)
    ruleset.keep_elements(listing)


@given(st.text())
def test_whatever_iptables_prints_is_read(text: str) -> None:
    legacy_policy_drops(text)


# ---- changes, on a model of a host: a dictionary


class Crash(BaseException):
    """The process was killed: no handler of it runs any more."""


@dataclass
class World:
    """`fuse` counts down at every moment where a process can die."""

    state: dict[str, str] = field(default_factory=dict)
    recorded: tuple[Write, ...] = ()
    fuse: int = 10**6
    broken: str = ""

    def tick(self) -> None:
        self.fuse -= 1
        if self.fuse < 0:
            raise Crash

    def load(self) -> tuple[Write, ...]:
        return self.recorded

    def save(self, operations: tuple[Write, ...], /) -> None:
        self.tick()
        self.recorded = operations
        self.tick()


@dataclass(frozen=True)
class Write:
    """Sets `key` in the world to `value`."""

    world: World = field(compare=False, hash=False, repr=False)
    key: str
    value: str
    before: str | None
    in_place: bool = False

    def same(self, other: object, /) -> bool:
        return isinstance(other, Write) and (self.key, self.value) == (other.key, other.value)

    def run(self) -> Write:
        if self.key == self.world.broken:
            raise TakenError("it cannot be done")
        self.world.tick()
        self.world.state[self.key] = self.value
        self.world.tick()
        return self

    def undo(self) -> str:
        self.world.tick()
        if self.world.state.get(self.key) == self.value:
            if self.before is None:
                del self.world.state[self.key]
            else:
                self.world.state[self.key] = self.before
        self.world.tick()
        return ""


KEYS = st.sampled_from("abcd")
WANTED = st.dictionaries(KEYS, st.sampled_from("123"))


def take(world: World, wanted: dict[str, str]) -> None:
    known = {one.key: one for one in world.recorded}
    operations = []
    for key, value in wanted.items():
        old = known.get(key)
        before = old.before if old is not None else world.state.get(key)
        operations.append(Write(world, key, value, before))
    holding = [one for one in world.recorded if world.state.get(one.key) == one.value]
    steps = changing.planned(world.recorded, holding, operations)
    for _ in changing.carry_out(steps, world):
        pass


def put_back(world: World) -> None:
    for _ in changing.carry_out(changing.undoing(world.recorded), world):
        pass


@given(st.dictionaries(KEYS, st.sampled_from("xyz")), st.lists(WANTED, max_size=3))
def test_undone_is_as_before(start: dict[str, str], wishes: list[dict[str, str]]) -> None:
    world = World(dict(start))
    for wanted in wishes:
        take(world, wanted)
        assert {key: world.state.get(key) for key in wanted} == wanted
        assert all(world.state.get(key) == value for key, value in start.items() if key not in wanted)
        before = dict(world.state)
        take(world, wanted)
        assert world.state == before, "again is no harm"
    put_back(world)
    assert (world.state, world.recorded) == (start, ())


@given(st.dictionaries(KEYS, st.sampled_from("xyz")), WANTED, WANTED, st.integers(0, 60), st.integers(0, 60))
def test_after_a_crash_at_any_moment_teardown_puts_all_back(
    start: dict[str, str], first: dict[str, str], then: dict[str, str], fuse: int, second_fuse: int
) -> None:
    world = World(dict(start), fuse=fuse)
    try:
        take(world, first)
        take(world, then)
    except Crash:
        pass
    world.fuse = second_fuse
    try:
        put_back(world)  # and that may be killed as well
    except Crash:
        world.fuse = 10**6
        put_back(world)
    assert (world.state, world.recorded) == (start, ())


@given(st.dictionaries(KEYS, st.sampled_from("xyz")), WANTED, KEYS)
def test_a_step_that_fails_takes_the_others_with_it(start: dict[str, str], wanted: dict[str, str], broken: str) -> None:
    world = World(dict(start), broken=broken)
    if broken in wanted:
        with pytest.raises(TakenError):
            take(world, wanted)
        assert (world.state, world.recorded) == (start, ())
    else:
        take(world, wanted)
