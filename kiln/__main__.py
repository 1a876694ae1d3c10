"""The way into ``kiln COMMAND`` and ``python -m kiln COMMAND``."""

import os
import sys


def main() -> None:
    """Settle signals and the environment before anything is imported that takes time; then run the command."""
    from kiln.commands import NAMES
    from kiln.core import startup

    name = next((word for word in sys.argv[1:2] if word in NAMES), "kiln")
    startup.begin(name)

    from kiln import cli

    cli.run(name)


def run_script() -> None:
    """Run the console script: in a project's root by the code of that project, as dvc does its stages.

    Else a worktree or clone that shares the virtual environment of another one would get the other one's code.
    """
    here = "kiln/__main__.py"  # not by pathlib, which takes time to import
    if os.path.isfile(here) and not os.path.samefile(here, __file__):  # noqa: PTH113, PTH121
        os.execv(sys.executable, [sys.executable, "-m", "kiln", *sys.argv[1:]])  # noqa: S606
    main()


if __name__ == "__main__":
    main()
