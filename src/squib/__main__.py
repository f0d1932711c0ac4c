"""The console script. `serve` starts before anything of the command line is imported, so that only the guest's code stays."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the verb in sys.argv and exits."""
    try:
        if sys.argv[1:2] == ["serve"]:
            from squib.cli.serve import serve

            serve(sys.argv[2:])
        else:
            from squib.cli.main import cli

            cli(prog_name="squib")
    except KeyboardInterrupt:  # before the verb began: its imports take a moment
        sys.exit(130)


if __name__ == "__main__":
    main()
