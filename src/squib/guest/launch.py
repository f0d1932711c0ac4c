"""The script behind `squib serve`: `python -I -S launch.py FD ARGUMENTS…`, run by squib's first stage by execv.

FD is a descriptor to read `marshal.dumps((command, import_path, spec), 2)` from: `command` as the user typed it, `import_path`
the folders that hold squib and httptools, `spec` as in docs/guest-abi.md. Nothing but the guest's code is loaded from there on.
"""

from __future__ import annotations

import marshal
import os
import sys


def _read(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


def main() -> int:
    """Runs the server program; gives its exit status."""
    # Written by squib itself, so trusted as the code is.
    command, import_path, spec = marshal.loads(_read(int(sys.argv[1])))  # noqa: S302
    # Last, as site-packages would be; -I keeps this folder out of sys.path.
    sys.path.extend(import_path)

    from squib.guest import environment, serve
    from squib.guest.spec import loads

    given = dict(os.environ)
    environment.clear()
    return serve.main(loads(spec), sys.argv[2:], command, given)


if __name__ == "__main__":
    sys.exit(main())
