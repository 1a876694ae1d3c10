"""The file of trained weights that a training starts from."""

from pathlib import Path

from kiln import params
from kiln.core import download, files
from kiln.core.errors import UserError

DEADLINE = 3600  # seconds for a download
# What the sentences of a download call by the names of fetch.
KEYS = {
    "fetch.url": "train.weights",
    "fetch.sha256": "train.weights_sha256",
    "fetch.path": "train.weights",
    "after fetch.deadline": "within an hour",
    ", give it more seconds,": "",
}


def find_weights(settings: params.Train) -> Path | None:
    """Find the file of trained weights: a path, or a URL that is downloaded once; checked by its sha256.

    Raises:
        UserError: there is no such file, or it is another one.
    """
    if not settings.weights:
        return None
    if "://" in settings.weights:
        try:
            return download.fetch(settings.weights, settings.weights_sha256, DEADLINE)
        except UserError as error:
            said = str(error)
            for theirs, ours in KEYS.items():
                said = said.replace(theirs, ours)
            raise UserError(said) from None
    path = Path(settings.weights)
    if not path.is_file():
        raise UserError(f"train.weights: {path} does not exist: check the path")
    found = files.sha256(path)
    if found != settings.weights_sha256:
        raise UserError(
            f"train.weights: {path} has the sha256 {found}, not train.weights_sha256: "
            "get the right file, or pin this one"
        )
    return path
