"""Trees of root file-systems: planned for a small appliance, unpacked, and its code run in them with nothing around it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from squib.build import interpreter, rootfs
from squib.build.cache import Cache
from squib.model.appliance import Appliance, ImageSettings
from squib.model.tree import Directory, File, RootfsTree, Symlink
from support import tool

__all__ = ["distribution", "files", "own", "plan", "run_answer", "unpack"]


def plan(appliance: Appliance, cache: Cache) -> RootfsTree:
    return rootfs.plan(appliance, interpreter.running(), cache, sys.implementation._multiarch).tree


def own(folder: Path, source: str, **image: tuple[str, ...]) -> Appliance:
    """An appliance whose module is `source`, which has the function `answer`."""
    folder.mkdir(exist_ok=True)
    (folder / "shop.py").write_text(source)
    return Appliance("shop", "shop:answer", folder, image=ImageSettings(**image))


def files(tree: RootfsTree) -> dict[str, File]:
    return {entry.path: entry for entry in tree.entries if isinstance(entry, File)}


def unpack(tree: RootfsTree, root: Path) -> None:
    root.mkdir(exist_ok=True)
    for entry in tree.entries:
        path = root / entry.path[1:]
        match entry:
            case Directory(mode=mode):
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(mode)
            case File(data=data, mode=mode):
                path.write_bytes(data)
                path.chmod(mode)
            case Symlink(target=target):
                path.symlink_to(target)


def run_answer(tree: RootfsTree, root: Path) -> str:
    """What `shop.answer(None)` prints in the unpacked tree, as the server's interpreter would run it."""
    unpack(tree, root)
    script = "import sys; sys.path[:] = ['/app', *sys.path[1:], '/usr/lib/squib']; import shop; shop.answer(None)"
    done = subprocess.run(
        [tool("chroot"), root, "/usr/bin/python3", "-IS", "-c", script], capture_output=True, text=True, check=False, env={}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def distribution(folder: Path, name: str, version: str, contents: dict[str, str | bytes], metadata: str = "") -> None:
    """Installs a distribution of `contents` (path, text) in the folder of packages, as pip does."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    header = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\nIts description.\n"
    everything = {**contents, f"{info}/METADATA": header, f"{info}/INSTALLER": "pip\n", f"{info}/direct_url.json": "{}"}
    for where, text in everything.items():
        path = folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    rows = [*everything, f"{info}/RECORD", "../../../bin/kettle", *(f"x/__pycache__/{n}.pyc" for n in "ab")]
    (folder / info / "RECORD").write_text("".join(f"{row},sha256=x,1\n" for row in rows))
