"""Where labelled images come from.

To add a source, write a function that returns a ``records.Source`` and name it
in ``open_source``.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from kiln import params
from kiln.core import download
from kiln.core.errors import UserError
from kiln.modalities.image import pictures
from kiln.sources import cifar, containers, folders, rows, tables
from kiln.sources.records import Place, Record, Source, Surprises, choose

DEFAULT_FOLDER = Path("data/source")
_OWN = {"README.md", ".gitignore", ".DS_Store"}


def read(settings: params.Fetch, seed: int, surprises: Surprises) -> Iterator[Record]:
    """Yield the records of the source.

    Args:
        settings: the fetch section.
        seed: of the draw, where fetch.limit is set.
        surprises: filled with what was passed over or is worth knowing.

    Raises:
        UserError: nothing usable is there; the sentence says what was expected.
    """
    source = open_source(settings, locate(settings), surprises)
    if not settings.limit:
        return source.records(None)
    return source.records(choose(source.places(), settings.limit, seed))


def locate(settings: params.Fetch) -> Path:
    """Find the file or folder to read, and download it where it is to come from a URL.

    Raises:
        UserError: settings contradict each other, so that one would be ignored.
    """
    source, path = settings.source, Path(settings.path)
    kind, url = source.name, source.url
    present = _present(path)
    if kind == "digits" or url:
        reader = "fetch.source.name is digits, which reads no path" if kind == "digits" else "fetch.source.url is set"
        if path != DEFAULT_FOLDER:
            raise UserError(f"fetch.path is set to {path}, but {reader}: choose one of them")
        if present:
            remedy = "set fetch.source.name to images" if kind == "digits" else "clear fetch.source.url"
            raise UserError(f"{path} holds {present[0]}, but {reader}: {remedy} to use it, or empty {path}")
    if not url and kind in cifar.ARCHIVE and path == DEFAULT_FOLDER and not present:
        url = cifar.OFFICIAL + cifar.ARCHIVE[kind]
    if not url:
        if source.sha256:
            raise UserError(
                "fetch.source.sha256 is set, but nothing is downloaded: set fetch.source.url, or clear "
                "fetch.source.sha256"
            )
        return path
    known = cifar.SHA256.get(urlsplit(url).path.rsplit("/", 1)[-1], "")
    return download.fetch(url, source.sha256 or known, source.deadline)


def _present(path: Path) -> list[str]:
    if path != DEFAULT_FOLDER or not path.is_dir():
        return []
    return sorted(entry.name for entry in path.iterdir() if entry.name not in _OWN)


def open_source(settings: params.Fetch, path: Path, surprises: Surprises) -> Source:
    """Open what lies at a path as the kind of source that fetch.source.name names.

    Raises:
        UserError: it is something else, or damaged.
    """
    kind = settings.source.name
    if kind == "digits":
        return digits()
    if kind == "parquet":
        if not path.exists():
            raise UserError(f"fetch.path {path} does not exist: give a .parquet file or a folder of them")
        return tables.open_parquet(path, settings, surprises)
    if kind == "manifest" and path.suffix.lower() in rows.SUFFIXES and not path.is_dir():
        raise UserError(
            f"fetch.path {path} is the table itself: set fetch.path to the folder that holds it and the images, so "
            f"that new images are seen, and fetch.source.manifest to {path.name}"
        )
    container = containers.open_container(path, surprises.skipped)
    surprises.notes.merge(container.notes)
    if kind == "manifest":
        return tables.open_manifest(container, settings, surprises, path)
    if kind in cifar.ARCHIVE:
        return cifar.open_source(kind, container, path)
    return folders.open_source(container, surprises, path)


def digits() -> Source:
    """The 1,797 handwritten digits of scikit-learn, 8x8 gray, as PNG: the values 0..16 on 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = (data.images * 255 / 16).round().astype("uint8")
    places = [Place(str(row), str(label), None) for row, label in enumerate(data.target)]

    def records(wanted):
        for place, image in zip(places, pixels, strict=True):
            if wanted is None or place.id in wanted:
                yield Record(*place, pictures.encode_png(image[:, :, None]), None)

    return Source(lambda: places, records)
