"""The appliance file: what it means, and what is said of a wrong one (file, line, key, what was expected)."""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.errors import ApplianceError, MissingError
from squib.host.appliances import find_appliance
from squib.model.appliance import HealthSettings, Key, KeyType, RestartPolicy, RestartSettings
from squib.wire.appliance_file import decode

HEAD = 'name = "a"\nserve = "a:b"\n'

GOOD = """\
name = "shop"
serve = "shop.web:answer"
summary = "a shop"

[keys.port]
type = "port"
default = 8080
doc = "Listening HTTP port."

[keys.greeting]
type = "string"
default = "hello"

[machine]
memory = "1G"
vcpus = 2

[image]
include = ["static"]
modules = ["sqlite3"]
"""


def test_a_whole_file() -> None:
    appliance = decode(GOOD, Path("/srv/shop/appliance.toml"))
    assert (appliance.name, appliance.serve, appliance.folder) == ("shop", "shop.web:answer", Path("/srv/shop"))
    assert appliance.keys == (
        Key("port", KeyType.PORT, 8080, "Listening HTTP port."),
        Key("greeting", KeyType.STRING, "hello", ""),
    )
    assert appliance.machine.mem_size_mib == 1024
    assert appliance.machine.vcpu_count == 2
    assert appliance.network.ports == (8080,)  # the port key's default
    assert appliance.network.outbound is False
    assert appliance.image.include == ("static",)


def test_restarts_and_checks() -> None:
    plain = decode(HEAD, Path("/srv/appliance.toml"))
    assert plain.health is None
    assert plain.restart == RestartSettings(RestartPolicy.ALWAYS, 5)
    assert decode(HEAD + "[health]\n", Path("/srv/appliance.toml")).health == HealthSettings("/", 10_000, 2_000, 3, 10_000)
    text = '[restart]\npolicy = "on-failure"\ntries = 2\n[health]\npath = "/h"\ninterval = "1m"\ntimeout = "500ms"\nfailures = 1\nstart_period = "0s"\n'
    full = decode(HEAD + text, Path("/srv/appliance.toml"))
    assert full.restart == RestartSettings(RestartPolicy.ON_FAILURE, 2)
    assert full.health == HealthSettings("/h", 60_000, 500, 1, 0)


def test_the_same_in_pyproject() -> None:
    text = "[project]\nname = 'x'\n" + GOOD.replace("\n[", "\n[tool.squib.").replace(
        'name = "shop"', '[tool.squib]\nname = "shop"'
    )
    assert decode(text, Path("/srv/shop/pyproject.toml")) == decode(GOOD, Path("/srv/shop/appliance.toml"))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, 'the key "name" is missing'),
        ("name = 1\n", 1, "name: expected `str`, got `int`"),
        ('name = "A b"\nserve = "a:b"\n', 1, "'A b' is no name"),
        ('name = "a"\nserve = "a"\n', 2, 'expected "MODULE:FUNCTION"'),
        (HEAD + "\n[machin]\nvcpus = 1\n", 4, 'machin: unknown key; did you mean "machine"?'),
        (HEAD + '[machine]\nvcpus = 1\nmemry = "1G"\n', 5, 'machine.memry: unknown key; did you mean "memory"?'),
        (HEAD + 'machine.memory = "12 apples"\n', 3, "machine.memory: '12 apples' is not a memory size"),
        (HEAD + "[machine]\nvcpus = 0\n", 4, "machine.vcpus: expected 1 to 32, got 0"),
        (
            HEAD + '[keys.x]\ntype = "int"\ndefault = 1\n[keys.y]\ntype = "ints"\ndefault = 1\n',
            7,
            "expected one of bool, int, port, string",
        ),
        (
            HEAD + '[keys.x]\ntype = "int"\ndefault = 1\n[keys.y]\ntype = "int"\ndfault = 1\n',
            8,
            'keys.y.dfault: unknown key; did you mean "default"',
        ),
        (
            HEAD + '[keys.x]\ntype = "int"\ndefault = "one"\n',
            5,
            "keys.x.default: expected a whole number of at most 18 digits, got 'one'",
        ),
        (
            HEAD + '[keys.x]\ntype = "int"\ndefault = true\n',
            5,
            "keys.x.default: expected a whole number of at most 18 digits, got True",
        ),
        (
            HEAD + f'[keys.x]\ntype = "int"\ndefault = {10**18}\n',
            5,
            "keys.x.default: expected a whole number of at most 18 digits",
        ),
        (HEAD + 'machine.memory = "9999999G"\n', 3, "more memory than a machine can have"),
        (HEAD + '[keys.x]\ntype = "port"\ndefault = 70000\n', 5, "keys.x.default: expected a port"),
        (HEAD + '[keys.help]\ntype = "int"\ndefault = 1\n', 3, "squib's own option --help has this name"),
        (HEAD + '[keys."a b"]\ntype = "int"\ndefault = 1\n', 3, "no name for a key"),
        (HEAD + '[keys.port]\ntype = "int"\ndefault = 1\n', 4, 'expected type "port"'),
        (HEAD + f'[keys.x]\ntype = "int"\ndefault = {10**20}\n', 5, "keys.x.default: a whole number has at most 64 bits"),
        (HEAD + f"[machine]\nvcpus = 0x{'f' * 5000}\n", 4, "machine.vcpus: a whole number has at most 64 bits"),
        (HEAD + "[network]\nports = [\n 80,\n 80]\n", 4, "80 stands twice"),
        (HEAD + "[network]\nports = [80, 'a']\n", 4, "network.ports[1]: expected `int`, got `str`"),
        (HEAD + '[image]\ninclude = ["../secrets"]\n', 4, "expected a path below the appliance's folder"),
        (
            HEAD + '[restart]\npolicy = "sometimes"\n',
            4,
            "restart.policy: expected one of always, on-failure, never, got 'sometimes'",
        ),
        (HEAD + "[restart]\ntries = 0\n", 4, "restart.tries: expected 1 to 100, got 0"),
        (HEAD + "[health]\nintervall = '9s'\n", 4, 'health.intervall: unknown key; did you mean "interval"?'),
        (HEAD + "[health]\npath = 'healthz'\n", 4, "health.path: 'healthz': expected a path as in a request"),
        (HEAD + "[health]\ninterval = 10\n", 4, "health.interval: expected `str`, got `int`"),
        (HEAD + "[health]\ninterval = '0s'\n", 4, "health.interval: '0s': expected a whole number"),
        (HEAD + "[health]\ntimeout = '2 s'\n", 4, "as in 500ms, 2s or 1m"),
        (HEAD + "[health]\nfailures = 101\n", 4, "health.failures: expected 1 to 100, got 101"),
        (HEAD + "[health]\nstart_period = '1h'\n", 4, "health.start_period: '1h': expected a whole number"),
        (HEAD + "health = 'yes'\n", 3, "health: expected `object"),
        (HEAD + "x = \n", 3, "not TOML: Invalid value"),
        (HEAD + 'x = """', 3, "not TOML"),
    ],
)
def test_a_wrong_file_says_where_and_what(text: str, line: int, said: str) -> None:
    with pytest.raises(ApplianceError) as caught:
        decode(text, Path("/srv/appliance.toml"))
    assert str(caught.value).startswith(f"/srv/appliance.toml:{line}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[machine]\nmemory = 128\n", 'for example memory = "128M"'),
        ("[health]\ninterval = 10\n", 'for example interval = "10s"'),
        ("summary = 1\n", ""),
        ("[network]\nports = ['a']\n", ""),
        ("health = 'yes'\n", ""),
    ],
)
def test_a_text_that_was_written_as_something_else_has_an_example(text: str, hint: str) -> None:
    with pytest.raises(ApplianceError, match="expected `") as caught:
        decode(HEAD + text, Path("/srv/appliance.toml"))
    assert caught.value.hint == hint


@pytest.mark.parametrize(("name", "text"), [("appliance.toml", HEAD), ("pyproject.toml", "[tool.squib]\n" + HEAD)])
def test_a_byte_order_mark(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    with pytest.raises(ApplianceError) as caught:
        find_appliance(None, tmp_path)
    assert str(caught.value) == f"{tmp_path / name}:1: not TOML: it begins with a byte order mark"
    assert caught.value.hint == "save it as UTF-8 without one"


def test_a_wrong_key_in_pyproject_has_its_line_there() -> None:
    with pytest.raises(ApplianceError, match=r":5: machine\.memry: unknown key"):
        decode('[tool.squib]\nname = "a"\nserve = "a:b"\n[tool.squib.machine]\nmemry = "1"\n', Path("/srv/pyproject.toml"))


def test_without_a_name_the_working_folder_decides(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(MissingError, match="there is no appliance in this folder") as caught:
            find_appliance(None, tmp_path)
        assert caught.value.hint.startswith("squib init writes one here; or name one: a folder, a file, or clock")
        (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "pyproject.toml").write_text('[tool.squib]\nname = "second"\nserve = "a:b"\n')
    assert find_appliance(None, tmp_path).name == "second"
    (tmp_path / "appliance.toml").write_text('name = "first"\nserve = "a:b"\n')
    assert find_appliance(None, tmp_path).name == "first"
    assert find_appliance("pyproject.toml", tmp_path).name == "second"
    assert find_appliance(".", tmp_path).folder == tmp_path
    assert find_appliance("clock", tmp_path).name == "clock"


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"clok is no file or folder, .* did you mean clock\?") as caught:
        find_appliance("clok", tmp_path)
    assert caught.value.hint.endswith("comes with squib: clock")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match=r"holds no appliance\.toml") as caught:
        find_appliance("empty", tmp_path)
    assert "squib init empty writes" in caught.value.hint
    (tmp_path / "appliance.toml").write_bytes(b"name = 'a'\n\xff")
    with pytest.raises(ApplianceError, match=r"appliance\.toml:2: not UTF-8"):
        find_appliance(None, tmp_path)


def test_what_is_no_appliance_file_at_all(tmp_path: Path) -> None:
    (tmp_path / "appliance.toml").mkdir()
    with pytest.raises(ApplianceError, match="is a folder, not a regular file"):
        find_appliance(None, tmp_path)
    huge = tmp_path / "huge.toml"
    with huge.open("wb") as file:
        file.truncate(50 << 30)
    with pytest.raises(ApplianceError, match="too large: at most 131,072 bytes"):
        find_appliance("huge.toml", tmp_path)


def test_a_link_to_an_appliance_file(tmp_path: Path) -> None:
    """Inside its folder it leads to the file, and to the folder of that; out of it it is refused, and tells nothing of the target."""
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "appliance.toml").write_text(HEAD)
    (top / "appliance.toml").symlink_to("sub/appliance.toml")
    assert find_appliance("top", tmp_path).folder == top / "sub"
    assert find_appliance("top/appliance.toml", tmp_path).folder == top / "sub"
    (tmp_path / "secret").write_text("token = hidden")
    for name in ("appliance.toml", "pyproject.toml", "other.toml"):
        (top / name).unlink(missing_ok=True)
        (top / name).symlink_to("../secret")
        with pytest.raises(ApplianceError, match="is a symbolic link that leaves") as caught:
            find_appliance("top/other.toml" if name == "other.toml" else "top", tmp_path)
        assert "hidden" not in str(caught.value)
        (top / name).unlink()


def test_a_long_key_is_not_repeated_whole() -> None:
    for text in (HEAD + "x" * 100_000 + " = 1\n", f"name = '{'y' * 100_000}'\nserve = 'a:b'\n"):
        with pytest.raises(ApplianceError) as caught:
            decode(text, Path("/srv/appliance.toml"))
        assert len(str(caught.value)) < 2000
