"""The file of trained weights that a training starts from."""

from pathlib import Path

from kiln.core import download, files
from kiln.core.errors import UserError
from kiln.params.train import Model

DEADLINE = 3600  # seconds for a download
_KEYS = download.Keys(
    url="train.model.weights", sha256="train.model.weights_sha256", path="train.model.weights", deadline=None
)


def find_weights(settings: Model) -> Path | None:
    """Find the file of trained weights: a path, or a URL that is downloaded once; checked by its sha256.

    Raises:
        UserError: there is no such file, or it is another one.
    """
    if not settings.weights:
        return None
    if "://" in settings.weights:
        return download.fetch(settings.weights, settings.weights_sha256, DEADLINE, keys=_KEYS)
    path = Path(settings.weights)
    if not path.is_file():
        raise UserError(f"train.model.weights: {path} does not exist: check the path")
    found = files.sha256(path)
    if found != settings.weights_sha256:
        raise UserError(
            f"train.model.weights: {path} has the sha256 {found}, not train.model.weights_sha256: "
            "get the right file, or pin this one"
        )
    return path
