"""The file of pretrained weights that training starts from."""

from pathlib import Path
from urllib.parse import urlsplit

from kiln.core import download, files, trained
from kiln.core.errors import UserError
from kiln.networks import encoders
from kiln.params.train import Model

DEADLINE = 3600  # seconds for a download
_KEYS = download.Keys(
    url="train.model.weights", sha256="train.model.weights_sha256", path="train.model.weights", deadline=None
)


def find_weights(settings: Model) -> Path | None:
    """Find the file of pretrained weights: of a package, a path, or a URL that is downloaded once; verify its sha256.

    Raises:
        UserError: the package or the file does not exist, or has another sha256.
    """
    if settings.name == "minilm":
        trained.find(trained.MINILM, "config.json")  # which is read beside them
        return trained.find(trained.MINILM, "model.safetensors")
    if not settings.weights:
        return None
    if "://" in settings.weights:
        return download.fetch(settings.weights, settings.weights_sha256, DEADLINE, keys=_KEYS)
    path = Path(settings.weights)
    if not path.is_file():
        raise UserError(f"train.model.weights: {path} does not exist: check the path")
    digest = files.sha256(path)
    if digest != settings.weights_sha256:
        raise UserError(
            f"train.model.weights: {path} has the sha256 {digest}, not train.model.weights_sha256: "
            "use the right file, or set train.model.weights_sha256 to this digest"
        )
    return path


def describe_origin(settings: Model) -> dict[str, str] | None:
    """Describe the trained weights of an encoder, for the model card.

    Returns:
        name, licence and sha256; None for other networks.
    """
    if settings.name not in encoders.NAMES:
        return None
    if settings.name == "minilm":
        package = trained.MINILM
        name = f"{package.origin}, from the package {package.name} {package.version}"
        return {"name": name, "licence": package.licence, "sha256": package.digests["model.safetensors"]}
    address = settings.weights
    # Of a local file the name alone: where it lies differs from machine to machine.
    name = download.shown(address) if urlsplit(address).netloc else Path(address).name
    return {"name": name, "licence": "that of whoever published them", "sha256": settings.weights_sha256}
