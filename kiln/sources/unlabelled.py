"""Further samples without labels, from which networks may learn before they train: files, or lines of one file."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from kiln import params
from kiln.core import formats
from kiln.core.errors import UserError
from kiln.modalities import registry
from kiln.modalities.base import FileKinds
from kiln.sources import containers
from kiln.sources.names import is_hidden
from kiln.sources.reading import refuse_pointers
from kiln.sources.records import Content, Record, Surprises
from kiln.sources.selection import Selector, advise, describe_skipped, steps_of

DEFAULT_FOLDER = Path("data/unlabelled")
_OWN = {"README.md", ".gitignore", ".DS_Store"}
_LONGEST = 2**27  # bytes of a line; of longer ones each part counts as one
_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16 and UTF-32, whose lines do not end in one byte


def read(path: Path, inputs: Mapping[str, str], surprises: Surprises) -> Iterator[Record]:
    """Yield samples without label, split and group; none where the folder that is meant for them is empty.

    Args:
        path: of a folder or archive with a file per sample, in any folders; or of a file with a sample per line.
        inputs: part of a sample -> name of its modality.
        surprises: filled with what was passed over.

    Raises:
        UserError: there is nothing to read, or nothing that could learn from it.
    """
    if path == DEFAULT_FOLDER and not _holds_any(path):
        return
    _check_inputs(path, inputs)
    part, modality = next((part, registry.get(kind)) for part, kind in inputs.items())
    if not path.exists():
        raise UserError(f"fetch.unlabelled {path} does not exist: give a folder, an archive or a .txt file")
    alone = path.is_file() and path.suffix.lower() in modality.extensions
    found = _read_lines(path) if alone else _read_files(path, modality, surprises)
    found_any = False
    records = (Record(f"unlabelled/{name}", None, None, None, {part: content}) for name, content in found)
    for record in refuse_pointers(records, [part] if alone else []):
        found_any = True
        yield record
    if not found_any:
        raise _nothing(path, modality, surprises)


def _holds_any(folder: Path) -> bool:
    return folder.is_dir() and any(entry.name not in _OWN for entry in folder.iterdir())


def _check_inputs(path: Path, inputs: Mapping[str, str]) -> None:
    remedy = f"empty {path}" if path == DEFAULT_FOLDER else f"set it to {DEFAULT_FOLDER}"
    if len(inputs) > 1:
        raise UserError(
            f"fetch.unlabelled {path} gives samples of one part, but inputs has {', '.join(inputs)}: {remedy}"
        )
    if "train.pretrain_epochs" not in params.knobs(inputs):
        raise UserError(
            f"fetch.unlabelled {path} holds samples without labels, but no network learns from such "
            f"{next(iter(inputs.values()))}s: {remedy}"
        )


def _read_files(path: Path, modality: FileKinds, surprises: Surprises) -> Iterator[tuple[str, Content]]:
    try:
        container = containers.open_container(path, surprises.skipped)
    except UserError as error:
        raise UserError(str(error).replace("fetch.path", "fetch.unlabelled")) from None
    selector, own = Selector(container, modality), set()
    for name in container.names:
        if path == DEFAULT_FOLDER and name in _OWN:
            continue
        if reason := selector.judge(name).reason:
            surprises.skipped.add(reason, name)
        elif not is_hidden(steps_of(name)):
            own.add(name)
    for name, content in container.contents(own.__contains__):
        yield "/".join(steps_of(name)), Content(content, name.rsplit("/", 1)[-1])


def _read_lines(path: Path) -> Iterator[tuple[str, Content]]:
    with path.open("rb") as file:
        if file.read(formats.HEAD).startswith(_MARKS):
            raise UserError(f"fetch.unlabelled {path} is in UTF-16 or UTF-32: save it in UTF-8, one text per line")
        file.seek(0)
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), start=1):
            if line.strip():
                yield f"{path.name}:{number}", Content(line.rstrip(b"\r\n"))


def _nothing(path: Path, modality: FileKinds, surprises: Surprises) -> UserError:
    skipped = surprises.skipped
    why = f" (skipped: {describe_skipped(skipped)}): {advise(skipped.counts, modality)}" if skipped.counts else ""
    return UserError(
        f"fetch.unlabelled {path} holds no {modality.noun}{why or ': give files, or one file with a line per text'}"
    )
