"""``kiln COMMAND``: which commands there are, and how what is typed wrong is answered."""

import importlib
import importlib.util
import sys

import click

from kiln.commands import NAMES

_EPILOG = """\b
Run it in the project's root folder; where .venv is not activated, as .venv/bin/kiln.
Completion in your shell, for a line of its start-up file:
  bash   eval "$(_KILN_COMPLETE=bash_source kiln)"
  zsh    eval "$(_KILN_COMPLETE=zsh_source kiln)"
  fish   _KILN_COMPLETE=fish_source kiln | source
"""


class Commands(click.Group):
    """Commands whose modules are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, in the order of the help."""
        return list(self.commands)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command; None where there is none of that name."""
        return importlib.import_module(f"kiln.commands.{name}").command if name in self.commands else None


# Their names alone, by which click suggests the nearest.
_COMMANDS = dict.fromkeys(name for name in NAMES if importlib.util.find_spec(f"kiln.commands.{name}"))


@click.group(cls=Commands, commands=_COMMANDS, epilog=_EPILOG)
def commands() -> None:
    """Use, compare and look after a classifier that `dvc repro` has trained."""


def run(name: str) -> None:
    """Run the command that the command line asks for, and end with its exit code.

    Args:
        name: of the command, or ``kiln``; put before each sentence.
    """
    try:
        commands.main(prog_name="kiln", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        print(f"{name}: {explain(error)}", file=sys.stderr)
        sys.exit(error.exit_code)


def explain(error: click.UsageError) -> str:
    """Give what is wrong with a command line in one sentence, with what to do."""
    said = " ".join(error.format_message().split()).rstrip(".").replace(". Did you", "; did you")
    path = error.ctx.command_path if error.ctx else "kiln"
    return f"{said[:1].lower()}{said[1:]} (`{path} --help` explains all)"
