"""From an appliance to its artifact: in a folder that the user names, or in the cache for a run.

The builder is imported where something is built: a run from a folder needs none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from squib.app.pruning import tidy_artifacts
from squib.build.kernels import KernelSource
from squib.build.opening import copy_artifact, described, open_artifact
from squib.errors import SquibError
from squib.host.appliances import find_appliance
from squib.host.files import alone_in, publish, staging, storage_errors, write_atomic
from squib.host.held import lock_shared
from squib.host.ownership import is_anothers
from squib.host.publication import READY
from squib.host.untrusted import Folder
from squib.model.appliance import Appliance
from squib.model.image import MANIFEST, Artifact
from squib.model.progress import Progress

if TYPE_CHECKING:
    from squib.build.artifact import BuildPlan

__all__ = ["Building"]


@dataclass(frozen=True, slots=True)
class Building:
    """`kernels` is where the kernel comes from; `cache` holds artifacts, each in a folder named by its manifest's digest.

    `in_use` tells which artifacts machines were started from: those stay in the cache.
    """

    kernels: KernelSource
    cache: Path
    in_use: Callable[[], frozenset[Path]] = frozenset

    def plan(self, appliance: Appliance, report: Progress) -> BuildPlan:
        """What would be in the image, and why."""
        from squib.build.artifact import plan_artifact

        return plan_artifact(appliance, self.kernels.obtain(report), report)

    def build(
        self, appliance: Appliance, output: Path, report: Progress, bill: Path | None = None, created: int = 0
    ) -> Artifact:
        """The files in `output`, and their bill of materials, of the time `created`, in `bill`. Raises SquibError."""
        from squib.build.artifact import write_artifact

        if bill is not None:
            from squib.wire import sbom

            sbom.require()
        plan = self.plan(appliance, report)
        artifact = write_artifact(plan, output, report)
        if bill is not None:
            write_atomic(bill, _bill(artifact, plan, created, report))
        return artifact

    def artifact(self, selector: str | None, working_folder: Path, report: Progress) -> Artifact:
        """What a run boots: the artifact in the folder `selector`, or that of the appliance it names, built where needed."""
        return self.made(self.chosen(selector, working_folder), report)

    def chosen(self, selector: str | None, working_folder: Path) -> Artifact | Appliance:
        """What `selector` names: an artifact that was built, or an appliance; nothing is built.

        Of another user's artifact this is what its manifest says: none of its files is open.
        """
        if selector is None or not _is_artifact(working_folder / selector):
            return find_appliance(selector, working_folder)
        with Folder(working_folder / selector) as place:
            if is_anothers(place.fileno(), place.path):
                return described(place)
        return open_artifact(working_folder / selector)

    def made(self, chosen: Artifact | Appliance, report: Progress) -> Artifact:
        """The artifact of what was chosen: built where needed, and copied where it is another user's."""
        if isinstance(chosen, Appliance):
            return self._built(chosen, report)
        if chosen.held:
            return chosen
        with Folder(chosen.folder) as place:
            return self._copied(place, report)

    def _built(self, appliance: Appliance, report: Progress) -> Artifact:
        from squib.build.artifact import write_artifact

        plan = self.plan(appliance, report)
        return self._kept(lambda out: write_artifact(plan, out, report, share_kernel=True))

    def _copied(self, place: Folder, report: Progress) -> Artifact:
        """Of another user's artifact only what lies in a folder of one's own can be believed: its owner may write the rest."""
        final = self._final(described(place))
        if final.is_dir():
            with alone_in(self.cache):
                if (found := _whole(final)) is not None:
                    return _used(found)
        report(f"copying {place.path}, which belongs to another user", None)
        return self._kept(lambda out: copy_artifact(place, out))

    def _kept(self, make: Callable[[Path], Artifact]) -> Artifact:
        """What `make` makes in a folder: in the cache from here on, unless it is there already."""
        with staging(self.cache) as folder:
            final = self._final(make(folder / "artifact"))
            with alone_in(self.cache):  # what another one has just put there must not be taken for a damaged one
                found = _whole(final)
                if found is None:
                    with storage_errors(final):
                        shutil.rmtree(final, ignore_errors=True)  # damaged: it is made again
                    publish(folder / "artifact", final)
                    found = open_artifact(final)
                found = _used(found)
        tidy_artifacts(self.cache, self.in_use)
        return found

    def _final(self, artifact: Artifact) -> Path:
        return self.cache / f"{artifact.manifest.appliance.name}-{artifact.digest[:16]}"


def _is_artifact(folder: Path) -> bool:
    """Whether `folder` holds a manifest, maybe of a build that was killed. Raises PermissionDeniedError and its like."""
    with storage_errors(folder / MANIFEST):
        return any(manifest.is_file() for manifest in (folder / MANIFEST, folder / READY / MANIFEST))


def _used(artifact: Artifact) -> Artifact:
    """`artifact`, in use from now on: nobody removes it from the cache as long as somebody refers to this."""
    with storage_errors(artifact.folder):
        os.utime(artifact.folder)
        return replace(artifact, kept=lock_shared(artifact.folder))


def _whole(folder: Path) -> Artifact | None:
    try:
        return open_artifact(folder)
    except SquibError:
        return None


def _bill(artifact: Artifact, plan: BuildPlan, created: int, report: Progress) -> bytes:
    from squib.build.sbom import artifact_bill
    from squib.wire.sbom import encode

    report("asking whose the files are", None)
    return encode(artifact_bill(artifact, plan.inputs, plan.kernel, created))
