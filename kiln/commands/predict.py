"""``kiln predict``: classify image files."""

import sys
from pathlib import Path

import click


@click.command(epilog="\b\nExample:\n  kiln predict photos/ --json > predictions.json")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(allow_dash=True, readable=False))
@click.option("--json", "in_json", is_flag=True, help="Print JSON: the probability of every class, or the error.")
@click.option("--flip", is_flag=True, help="Average over each image and its mirror image.")
@click.option(
    "--model",
    type=click.Path(path_type=Path, readable=False),
    default="data/model",
    show_default=True,
    help="Folder of the model.",
)
def command(paths: tuple[str, ...], in_json: bool, flip: bool, model: Path) -> None:
    """Classify image files with the trained model.

    PATH is an image file; a folder, for the image files in it and in its folders,
    in order; or - for paths on standard input, one per line. What cannot be read is
    reported on standard error, with exit code 1 at the end.
    """
    from kiln.core import entry, phrases
    from kiln.deployment import predictor
    from kiln.networks import artifact

    def predict() -> None:
        classifier = artifact.load(model)
        kinds = predictor.only_part(classifier).modality
        listed = predictor.list_files(paths, getattr(sys.stdin, "buffer", ()), kinds)
        results = predictor.classify(classifier, listed, flip)
        if failed := predictor.print_results(results, classifier.classes, in_json):
            sys.exit(f"predict: {phrases.plural(failed, 'file')} could not be read" if in_json else 1)

    entry.run(predict, "predict")
