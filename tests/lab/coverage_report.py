"""Which lines of squib ran on the lab host: the data of all its processes put together, as a text and as pages."""

from __future__ import annotations

from pathlib import Path

from coverage import Coverage
from coverage.exceptions import CoverageException

from squib.errors import MissingError
from support import PROJECT

TEXT, PAGES = "coverage.txt", "coverage"


def write(folders: list[Path], out: Path) -> str:
    """Combines the files in `folders`, writes TEXT and PAGES into `out`, and gives a sentence for people. Raises MissingError."""
    measured = Coverage(data_file=str(out / ".coverage"), config_file=str(PROJECT / "pyproject.toml"))
    try:
        measured.combine([str(folder) for folder in folders], strict=True, keep=True)
        measured.save()
        with (out / TEXT).open("w", encoding="utf-8") as text:
            percent = measured.report(file=text)
        measured.html_report(directory=str(out / PAGES))
    except CoverageException as error:
        raise MissingError(
            f"the lab left no coverage: {error}", hint="see the console.log of each host in build/lab/"
        ) from error
    return f"{percent:.0f} % of squib's lines and branches ran there; see {TEXT}, {PAGES}/"
