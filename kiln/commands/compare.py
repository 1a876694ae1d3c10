"""``kiln compare``: what changed against another commit, whether it is more than noise, whether it may be merged."""

import sys
from pathlib import Path

import click

FILE = click.Path(path_type=Path, readable=False)


@click.command(epilog="\b\nExample:\n  kiln compare main --html comparison.html")
@click.argument("base", required=False)
@click.option("--html", type=FILE, metavar="FILE", help="Write a page with the metrics side by side, too.")
@click.option("--comment", type=FILE, metavar="FILE", help="Write a pull request's comment, and print nothing.")
@click.option("--unfit", multiple=True, metavar="REASON", help="Say why it may not be merged anyway (repeatable).")
def command(base: str | None, html: Path | None, comment: Path | None, unfit: tuple[str, ...]) -> None:
    """Compare the metrics with those of another commit, and judge them.

    Prints Markdown; its first line is the verdict, with all its reasons. BASE is a
    commit, branch or tag, by default where this branch left the main one. Ends with
    exit code 1 where metrics.json is not whole or the `compare` section of
    params.yaml is not kept.
    """
    from kiln.core import entry, files
    from kiln.core.errors import UserError
    from kiln.evaluation import revisions
    from kiln.reporting import verdict

    def compare() -> None:
        try:
            found = revisions.compare(revisions.find_base(base), unfit)
        except UserError as error:
            if comment:  # the verdict, where there is nothing to compare, too
                files.write_bytes(comment, verdict.comment(verdict.refusal([*unfit, str(error)]) + "\n").encode())
            raise
        if html:
            files.write_bytes(html, verdict.side_by_side(found).encode())
        if comment:
            files.write_bytes(comment, verdict.comment(verdict.describe(found)).encode())
        else:
            print(verdict.describe(found))
        if found.reasons:
            sys.exit(f"compare: {'; '.join(found.reasons)}")

    entry.run(compare, "compare")
