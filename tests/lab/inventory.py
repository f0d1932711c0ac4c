"""What is made on this machine and carried into the lab: appliances, kernels, a drop, Firecracker and its jailer."""

from __future__ import annotations

from pathlib import Path

from lab import filler, hostile, layout
from squib.build import ext4, kernel_build, tuned_kernels
from squib.build.tuned_kernels import TUNED
from squib.errors import MissingError
from squib.host.appliances import find_appliance
from squib.model.drop import DropNetwork
from squib.model.progress import Progress
from squib.wiring import fetch_firecracker, house


def collect(folder: Path, progress: Progress) -> dict[str, Path]:
    """Files by their path on the lab host; made below `folder` where they are not there already. Raises SquibError."""
    fetched = fetch_firecracker("pypi", progress)
    found = {f"/usr/local/bin/{file.program}": file.path for file in fetched.files}
    _tuned_kernel(progress)
    clock, made = find_appliance("clock", folder), folder / "artifacts"
    house().build(clock, made / "clock", progress)
    tuned = house(kernel=TUNED)
    tuned.build(clock, made / "tuned", progress)
    tuned.drop(clock, made / "drop", DropNetwork(), progress)
    (made / "filler").mkdir(exist_ok=True)
    ext4.write(filler.tree(), made / "filler/rootfs.ext4", ext4.find_programs())
    hostile.write(tuned.plan_build(clock, progress), made / "tuned", made / "hostile")
    for path in sorted(made.rglob("*")):
        if path.is_file():
            found[f"{layout.ARTIFACTS}/{path.relative_to(made).as_posix()}"] = path
    return found


def _tuned_kernel(progress: Progress) -> None:
    """Builds it where that was not done yet: minutes, once."""
    try:
        tuned_kernels.find(TUNED)
    except MissingError:
        kernel_build.build(kernel_build.plan(), None, progress)
