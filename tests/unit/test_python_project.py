"""What `squib init` finds in a folder, and what it then does not write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from squib.app.python_project import PythonProject, look
from squib.app.starter import write_starter
from squib.errors import SquibError, TakenError
from squib.host.appliances import find_appliance

FLASK = "from flask import Flask\n\napp = Flask(__name__)\n"
HANDLER = "from squib.guest.handler import Request, Response\n\n\ndef answer(request: Request) -> Response: ...\n"


def made(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "framework", "app"),
    [
        ({"app.py": FLASK}, "Flask", "app:app"),
        ({"main.py": "import fastapi\napi: fastapi.FastAPI = fastapi.FastAPI()\n", "pyproject.toml": ""}, "FastAPI", "main:api"),
        ({"src/shop/__init__.py": "", "src/shop/wsgi.py": FLASK}, "Flask", "shop.wsgi:app"),
        ({"shop/__init__.py": FLASK, "requirements.txt": "flask\n"}, "Flask", "shop:app"),
        ({"manage.py": "import os\n", "requirements.txt": "# web\nDjango>=5\n"}, "Django", ""),
        ({"pyproject.toml": '[project]\ndependencies = [\n  "starlette[full]>=0.3",\n]\n'}, "Starlette", ""),
        ({"site/__init__.py": "", "site/asgi.py": "from django.core.asgi import get_asgi_application\n\napplication = get_asgi_application()\n"},
         "Django", "site.asgi:application"),
        ({"app.py": "import sanic\napp = sanic.Sanic('x')\n", "broken.py": "def ("}, "Sanic", "app:app"),
        ({"main.py": "print('hello')\n", "pyproject.toml": "[project]\nname = 'flask-like'\n"}, "", ""),
        ({"main.py": "app = Flask()\n"}, "", ""),
    ],
)  # fmt: skip
def test_what_is_found(files: dict[str, str], framework: str, app: str, tmp_path: Path) -> None:
    found = look(made(tmp_path, files))
    assert found is not None
    assert (found.framework, found.app) == (framework, app)
    assert set(found.files) <= set(files)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(TakenError) as caught:
        write_starter(tmp_path, "shop")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    if framework:
        assert f"holds a {framework} app" in str(caught.value)
        assert f"squib cannot serve {framework} yet" in str(caught.value)
        assert app in str(caught.value)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README.md": "# flask\n"},
        {"pyproject.toml": "[project]\nname = 'shop'\n"},
        {"requirements.txt": "httpx\n# flask\n"},
        {"test_it.py": FLASK, "conftest.py": "", "setup.py": "from setuptools import setup\nsetup()\n"},
        {"data/app.py": FLASK},
    ],
)
def test_no_project(files: dict[str, str], tmp_path: Path) -> None:
    assert look(made(tmp_path, files)) is None
    assert [path.name for path in write_starter(tmp_path, "shop")] == ["app.py", "appliance.toml", "test_app.py"]


def test_a_function_that_can_be_served_gets_its_appliance_file_and_nothing_else(tmp_path: Path) -> None:
    made(
        tmp_path,
        {"shop.py": HANDLER + "\n\ndef _hidden(one): ...\n\n\ndef two(a, b): ...\n", "prices.py": "def of(what): ...\n"},
    )
    assert look(tmp_path) == PythonProject(("prices.py", "shop.py"), handlers=("shop:answer",))
    assert write_starter(tmp_path, "corner") == (tmp_path / "appliance.toml",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["appliance.toml", "prices.py", "shop.py"]
    appliance = find_appliance(None, tmp_path)
    assert (appliance.name, appliance.serve, [key.name for key in appliance.keys]) == ("corner", "shop:answer", ["port"])


def test_several_functions_are_the_users_choice(tmp_path: Path) -> None:
    made(tmp_path, {"shop.py": HANDLER, "other.py": HANDLER.replace("answer", "reply")})
    with pytest.raises(TakenError, match="more than one function to serve: other:reply, shop:answer") as caught:
        write_starter(tmp_path, "shop")
    assert 'serve = "other:reply"' in caught.value.hint


def test_an_ordinary_project_is_left_alone(tmp_path: Path) -> None:
    made(tmp_path, {"pyproject.toml": "[project]\nname = 'x'\n", "main.py": "def main(): ...\n"})
    with pytest.raises(TakenError, match=r"holds a Python project already \(pyproject\.toml, main\.py\)"):
        write_starter(tmp_path, "shop")


def test_hostile_folders_tell_nothing_and_cost_little(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(FLASK)
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "linked.py").symlink_to(secret)
    os.mkfifo(folder / "fifo.py")
    (folder / "device.py").symlink_to("/dev/zero")
    (folder / "package").symlink_to(tmp_path)
    with (folder / "sparse.py").open("wb") as file:
        file.truncate(50 << 30)
    (folder / "requirements.txt").symlink_to("/dev/zero")
    (folder / "deep.py").write_text("x = " + "(" * 5000 + ")" * 5000)
    found = look(folder)
    assert found is not None
    assert (found.files, found.framework) == (("requirements.txt", "deep.py"), "")
    with pytest.raises(SquibError):
        write_starter(folder, "shop")


def test_a_pyproject_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pyproject.toml")
    with pytest.raises(SquibError):
        write_starter(tmp_path, "shop")
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]
