"""Where labelled samples come from.

To add a source, write a function that returns a ``records.Source`` and name it
in ``open_source``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from kiln import params
from kiln.core import download, formats
from kiln.core.errors import UserError
from kiln.modalities import registry
from kiln.modalities.base import FileKinds
from kiln.sources import cifar, containers, folders, manifest, parquet, rows, tables
from kiln.sources.records import POINTERS, Content, Place, Record, Source, Surprises, choose

DEFAULT_FOLDER = Path("data/source")
BATCH_RECORDS = 1024
BATCH_BYTES = 16 * 2**20
TABLES = ("manifest", "table", "parquet")
# What a source gives, where it gives one modality alone, and where to find samples of another.
GIVES = {**dict.fromkeys(["digits", "images", *cifar.ARCHIVE], "image"), "texts": "text", "table": "text"}
_ELSEWHERE = {"image": "images, manifest or parquet", "text": "texts, table or parquet"}
_OWN = {"README.md", ".gitignore", ".DS_Store"}


def read(settings: params.Fetch, inputs: Mapping[str, str], seed: int, surprises: Surprises) -> Iterator[Record]:
    """Yield the records of the source.

    Args:
        settings: the fetch section.
        inputs: part of a sample -> name of its modality.
        seed: of the draw, where fetch.limit is set.
        surprises: filled with what was passed over or is worth knowing.

    Raises:
        UserError: nothing usable is there; the sentence says what was expected.
    """
    check_inputs(settings.source.name, inputs)
    source = open_source(settings, inputs, locate(settings), surprises)
    wanted = choose(source.places(), settings.limit, seed) if settings.limit else None
    in_rows = [part for part, modality in inputs.items() if registry.get(modality).separator is not None]
    return refuse_pointers(source.records(wanted), in_rows)


def check_inputs(source: str, inputs: Mapping[str, str]) -> None:
    """Refuse parts that a source cannot give.

    Raises:
        UserError: there are several, or one is of another modality.
    """
    if len(inputs) > 1 and source not in TABLES:
        raise UserError(
            f"inputs has the parts {', '.join(inputs)}, but fetch.source.name {source} gives one: set it "
            f"to {', '.join(TABLES[:-1])} or {TABLES[-1]}, where each part has a column"
        )
    gives = GIVES.get(source)
    for part, modality in inputs.items():
        if gives and modality != gives:
            where = "manifest or parquet" if len(inputs) > 1 else _ELSEWHERE.get(modality, "where yours lie")
            raise UserError(
                f"fetch.source.name {source} gives {gives}s, but inputs says that {part} is {modality}: set inputs to "
                f"{{{gives}: {gives}}}, or fetch.source.name to {where}"
            )


def refuse_pointers(records: Iterable[Record], in_rows: Collection[str] = ()) -> Iterator[Record]:
    """Pass records on, as long as their contents are there themselves.

    Args:
        records: of the source.
        in_rows: parts whose contents are themselves where they come from no file.

    Raises:
        UserError: one is a pointer, as a clone without Git LFS holds in place of each file.
    """
    for record in records:
        for part, (content, path) in record.contents.items():
            # All pointers are short, and few files are.
            is_file = path is not None or part not in in_rows
            if is_file and len(content) < 1024 and (kind := formats.sniff(content[: formats.HEAD])) in POINTERS:
                raise UserError(
                    f"{record.id} is not the file itself but a {kind}, and others may be the same: {POINTERS[kind]}"
                )
        yield record


def batch(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Group records into batches of at most 1,024, and of about 16 MiB at most."""
    batched, size = [], 0
    for record in records:
        batched.append(record)
        size += sum(len(content.bytes) for content in record.contents.values())
        if len(batched) == BATCH_RECORDS or size >= BATCH_BYTES:
            yield batched
            batched, size = [], 0
    if batched:
        yield batched


def locate(settings: params.Fetch) -> Path:
    """Find the file or folder to read, and download it where it is to come from a URL.

    Raises:
        UserError: settings contradict each other, so that one would be ignored.
    """
    kind, path, url = settings.source.name, Path(settings.path), settings.source.url
    present = _present(path)
    if kind == "digits" or url:
        reader = "fetch.source.name is digits, which reads no path" if kind == "digits" else "fetch.source.url is set"
        if kind == "digits" and url:
            raise UserError(
                "fetch.source.url is set, but fetch.source.name is digits: set fetch.source.name to what the URL gives"
            )
        if path != DEFAULT_FOLDER:
            raise UserError(f"fetch.path is set to {path}, but {reader}: choose one of them")
        if present:
            remedy = (
                "set fetch.source.name to images to use it" if kind == "digits" else "clear fetch.source.url to use it"
            )
            raise UserError(f"{path} holds {present[0]}, but {reader}: {remedy}, or empty {path}")
    if not url and kind in cifar.ARCHIVE and path == DEFAULT_FOLDER and not present:
        url = cifar.OFFICIAL + cifar.ARCHIVE[kind]
    if not url:
        if settings.source.sha256:
            raise UserError("fetch.source.sha256 is set, but nothing is downloaded: set fetch.source.url, or clear it")
        return path
    known = cifar.SHA256.get(urlsplit(url).path.rsplit("/", 1)[-1], "")
    return download.fetch(url, settings.source.sha256 or known, settings.source.deadline)


def _present(path: Path) -> list[str]:
    if path != DEFAULT_FOLDER or not path.is_dir():
        return []
    return sorted(entry.name for entry in path.iterdir() if entry.name not in _OWN)


def open_source(settings: params.Fetch, inputs: Mapping[str, str], path: Path, surprises: Surprises) -> Source:
    """Open what lies at a path as the kind of source that fetch.source.name names.

    Args:
        settings: the fetch section.
        inputs: part of a sample -> name of its modality.
        path: of a file or folder.
        surprises: filled with what was passed over or is worth knowing.

    Raises:
        UserError: it is something else, or damaged.
    """
    kind = settings.source.name
    parts = {part: registry.get(modality) for part, modality in inputs.items()}
    part, modality = next(iter(parts.items()))
    if kind == "digits":
        return open_digits(part, modality)
    if kind == "parquet":
        if not path.exists():
            raise UserError(f"fetch.path {path} does not exist: give a .parquet file or a folder of them")
        return parquet.open_parquet(path, settings, parts, surprises)
    if kind == "manifest" and path.suffix.lower() in rows.SUFFIXES and not path.is_dir():
        raise UserError(
            f"fetch.path {path} is the table itself: set fetch.path to the folder that holds it and the files, so "
            f"that new files are seen, and fetch.source.manifest to {path.name}"
        )
    if kind == "table":
        return tables.open_tables(path, settings, parts, surprises)
    container = containers.open_container(path, surprises.skipped)
    surprises.notes.merge(container.notes)
    if kind == "manifest":
        return manifest.open_manifest(container, settings, parts, surprises, path)
    if kind in cifar.ARCHIVE:
        return cifar.open_source(kind, container, part, modality, path)
    return folders.open_source(container, part, modality, surprises, path)


def open_digits(part: str, modality: FileKinds) -> Source:
    """Open the 1,797 handwritten digits of scikit-learn, 8x8 gray: the values 0..16 on 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = (data.images * 255 / 16).round().astype("uint8")
    places = [Place(str(row), str(label), None) for row, label in enumerate(data.target)]

    def records(wanted):
        for place, image in zip(places, pixels, strict=True):
            if wanted is None or place.id in wanted:
                yield Record(*place, {part: Content(modality.encode(image[:, :, None]))})

    return Source(lambda: places, records)
