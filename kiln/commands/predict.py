"""``kiln predict``: classify files, typed texts and rows of tables."""

import itertools
import sys
from pathlib import Path

import click


@click.command(
    epilog="\b\nExamples:\n  kiln predict photos/ --json > predictions.json\n"
    "  kiln predict --text 'What a film!'\n  kiln predict --column review new.csv"
)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(allow_dash=True, readable=False))
@click.option("--text", "texts", metavar="TEXT", multiple=True, help="A text itself; may be repeated.")
@click.option(
    "--column",
    "columns",
    metavar="NAME",
    multiple=True,
    help="PATH is a table (CSV, JSON lines, Parquet), with a text in this column of every row; repeat it for several.",
)
@click.option("--json", "in_json", is_flag=True, help="Print JSON: the probability of every class, or the error.")
@click.option("--flip", is_flag=True, help="Average over each image and its mirror image.")
@click.option(
    "--model",
    type=click.Path(path_type=Path, readable=False),
    default="data/model",
    show_default=True,
    help="Folder of the model.",
)
def command(
    paths: tuple[str, ...], texts: tuple[str, ...], columns: tuple[str, ...], in_json: bool, flip: bool, model: Path
) -> None:
    """Classify files, texts or rows of tables with the trained model.

    PATH is a file, such as an image; a folder, for the files of that kind in it and
    in its folders, in order; or - for paths on standard input, one per line. What
    cannot be read is reported on standard error, with exit code 1 at the end.
    """
    if not paths and (columns or not texts):
        raise click.UsageError("Missing argument 'PATH...'.")
    from kiln.core import entry, phrases
    from kiln.deployment import inputs, predictor
    from kiln.networks import artifact

    def predict() -> None:
        classifier = artifact.load(model)
        kinds = predictor.only_part(classifier).modality
        typed, lines = inputs.type_in(texts, kinds), getattr(sys.stdin, "buffer", ())
        listed = inputs.list_rows(paths, lines, columns, kinds) if columns else inputs.list_files(paths, lines, kinds)
        results = predictor.classify(classifier, itertools.chain(typed, listed), flip)
        nouns = "file" if not texts + columns else "input"
        if failed := predictor.print_results(results, classifier.classes, in_json):
            sys.exit(f"predict: {phrases.plural(failed, nouns)} could not be read" if in_json else 1)

    entry.run(predict, "predict")
