"""``kiln doctor``: find and explain what DVC, killed runs and the machine's set-up bring about."""

import sys
from pathlib import Path

import click


@click.command(epilog="\b\nExample:\n  kiln doctor --fix")
@click.option("--fix", is_flag=True, help="Repair what is safe.")
@click.option("--quick", is_flag=True, help="Do not read the whole cache.")
def command(fix: bool, quick: bool) -> None:
    """Find what hinders a run, or is left of one, and repair it.

    Prints a line per finding, and nothing where all is well. What a living process
    may use is never touched, nor what is of use to anybody. Ends with exit code 1
    where something is left for a person, or for --fix.
    """
    from kiln.core import entry
    from kiln.health import examination
    from kiln.health.project import open_project

    def examine() -> None:
        left = False
        for finding in examination.examine(open_project(Path.cwd()), quick):
            remedy, remains = examination.treat(finding, fix)
            print(f"{finding.what}: {finding.why}; {remedy}", flush=True)
            left |= remains
        if left:
            sys.exit(1)

    entry.run(examine, "doctor")
