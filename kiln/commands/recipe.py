"""``kiln recipe``: whole params files from recipes, and older ones brought up to date."""

from pathlib import Path

import click

_EPILOG = """\b
Examples:
  kiln recipe            # list the recipes
  kiln recipe folder     # start from the recipe for folders of photos
  kiln recipe --update   # bring params.yaml up to date after an update of Kiln"""


@click.command(epilog=_EPILOG)
@click.argument("name", required=False)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default="params.yaml", show_default=True)
@click.option("--update", is_flag=True, help="Rename and add keys of an older file; its values and comments stay.")
@click.option("--force", is_flag=True, help="Overwrite a file with uncommitted changes.")
def command(name: str | None, output: Path, update: bool, force: bool) -> None:
    """Write params.yaml from a recipe, every key with its range and meaning; without NAME list the recipes."""
    from kiln.core import entry

    def run() -> None:
        if update:
            update_file(output, name)
        elif name:
            write_recipe(name, output, force)
        else:
            list_recipes()

    entry.run(run, "recipe")


def list_recipes() -> None:
    """Print each recipe's name and purpose."""
    from kiln.params import recipes

    names = recipes.names()
    width = max(map(len, names))
    for name in names:
        print(f"{name:<{width}}  {recipes.read(name).purpose}")


def write_recipe(name: str, output: Path, force: bool) -> None:
    """Write a recipe as a whole params file.

    Raises:
        UserError: there is no such recipe, or the file has changes that git does not have.
    """
    from kiln.core import files, git
    from kiln.core.errors import UserError
    from kiln.params import recipes

    text = recipes.write(recipes.read(name))
    changed = git.ask("status", "--porcelain", "--ignored", "--", str(output))
    if output.exists() and output.read_text() != text and changed != "" and not force:
        why = "has uncommitted changes" if changed else "is not in git"
        raise UserError(f"{output} {why}: commit it, or overwrite it with --force")
    files.write_bytes(output, text.encode())
    print(f"recipe: {output} written, {recipes.read(name).purpose}; see it with `git diff`, run it with `dvc repro`")


def update_file(path: Path, name: str | None) -> None:
    """Bring a params file up to date, and print what changed.

    Raises:
        UserError: the file holds a key or value that is not allowed, or a recipe is named too.
    """
    from kiln.core import files
    from kiln.core.errors import UserError
    from kiln.params import updating

    if name:
        raise UserError(f"--update keeps the values of {path}: leave out the recipe {name}")
    text, changes = updating.update(path)
    if not changes:
        print(f"recipe: {path} is up to date")
        return
    files.write_bytes(path, text.encode())
    print(*(f"recipe: {change}" for change in changes), f"recipe: {path} is up to date now", sep="\n")
