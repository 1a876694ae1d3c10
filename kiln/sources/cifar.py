"""CIFAR-10 and CIFAR-100 in their official layouts (Krizhevsky, 2009), binary or pickled."""

import io
import pickle
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from kiln.core.errors import UserError
from kiln.modalities.base import FileKinds
from kiln.sources.listing import Container
from kiln.sources.records import Content, Place, Record, Source

SIDE = 32
_PIXELS = 3 * SIDE * SIDE
_TEN = [f"data_batch_{number}" for number in range(1, 6)]
OFFICIAL = "https://www.cs.toronto.edu/~kriz/"
SHA256 = {
    "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    "cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
}
ARCHIVE = {"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}


class _Layout(NamedTuple):
    """Files of a version: names of the classes, (file, split) of the images, and what precedes a record's pixels."""

    names: str
    batches: list[tuple[str, str]]
    labels: int
    label_key: bytes
    names_key: bytes


_BINARY = {
    "cifar10": _Layout(
        "batches.meta.txt",
        [*((f"{name}.bin", "train") for name in _TEN), ("test_batch.bin", "test")],
        1, b"", b"",
    ),
    "cifar100": _Layout("fine_label_names.txt", [("train.bin", "train"), ("test.bin", "test")], 2, b"", b""),
}  # fmt: skip
_PICKLED = {
    "cifar10": _Layout(
        "batches.meta",
        [*((name, "train") for name in _TEN), ("test_batch", "test")],
        0, b"labels", b"label_names",
    ),
    "cifar100": _Layout("meta", [("train", "train"), ("test", "test")], 0, b"fine_labels", b"fine_label_names"),
}  # fmt: skip


def open_source(kind: str, container: Container, part: str, modality: FileKinds, path) -> Source:
    """Read an official archive or its unpacked folder; the binary version, which holds no code, is preferred.

    Args:
        kind: ``cifar10`` or ``cifar100``.
        container: the folder or archive.
        part: the name of the one part of each sample.
        modality: of it, which encodes the pixels.
        path: of it, for errors.

    Raises:
        UserError: a file is missing or is not as published.
    """
    members = {PurePosixPath(name).name: name for name in container.names}
    binary = _BINARY[kind].names in members
    layout = (_BINARY if binary else _PICKLED)[kind]
    for name in [layout.names, *(name for name, _ in layout.batches)]:
        if name not in members:
            raise UserError(
                f"{path} holds no {name}: for fetch.source.name {kind} it should be {ARCHIVE[kind]} as published, the "
                "python version, or the folder that one of them unpacks to"
            )

    def read(name: str) -> bytes:
        return next(content for _, content in container.contents(lambda full: full == members[name]))

    def batches() -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
        classes = _classes(read(layout.names), layout, path)
        for name, split in layout.batches:
            labels, pixels = (_binary if binary else _pickled)(read(name), layout, f"{path}: {name}")
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
                raise UserError(f"{path}: {name} holds labels beyond its {len(classes)} classes: download it again")
            stem = name.removesuffix(".bin")
            places = [
                Place(f"{split}/{stem}/{row:05d}", classes[label], split) for row, label in enumerate(labels.tolist())
            ]
            yield places, pixels

    def records(wanted):
        for places, pixels in batches():
            for place, values in zip(places, pixels, strict=True):
                if wanted is None or place.id in wanted:
                    picture = values.reshape(3, SIDE, SIDE).transpose(1, 2, 0)
                    yield Record(*place, {part: Content(modality.encode(picture))})

    return Source(lambda: (place for places, _ in batches() for place in places), records)


def _classes(content: bytes, layout: _Layout, path) -> list[str]:
    names = content.split() if layout.labels else _dictionary(content, f"{path}: {layout.names}").get(layout.names_key)
    try:
        return [name if isinstance(name, str) else bytes.decode(name) for name in names]
    except (TypeError, UnicodeDecodeError):
        raise UserError(f"{path}: {layout.names} names no classes: download it again") from None


def _binary(content: bytes, layout: _Layout, where: str) -> tuple[np.ndarray, np.ndarray]:
    size = layout.labels + _PIXELS
    if len(content) % size:
        raise UserError(f"{where} is not a whole number of records of {size} bytes: download it again")
    rows = np.frombuffer(content, np.uint8).reshape(-1, size)
    # Of CIFAR-100's two labels the second is the fine one.
    return rows[:, layout.labels - 1], rows[:, layout.labels :]


def _pickled(content: bytes, layout: _Layout, where: str) -> tuple[np.ndarray, np.ndarray]:
    batch = _dictionary(content, where)
    labels, pixels = batch.get(layout.label_key), getattr(batch.get(b"data"), "values", None)
    whole = (
        isinstance(labels, list)
        and all(type(label) is int for label in labels)
        and pixels is not None
        and pixels.shape == (len(labels), _PIXELS)
    )
    if not whole:
        raise UserError(f"{where} is not as published: download it again")
    return np.array(labels, np.int64), pixels


def _dictionary(content: bytes, where: str) -> dict:
    try:
        loaded = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except _Forbidden as error:
        raise UserError(
            f"{where} asks for {error}, which may run code: it is not the published file; download it again"
        ) from None
    # A damaged pickle raises what it pleases.
    except Exception as error:
        raise UserError(f"{where} is a damaged pickle ({type(error).__name__}): download it again") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{where} is not as published: download it again")
    return loaded


class _Forbidden(Exception):
    pass


def _latin(text: str, encoding: str) -> bytes:
    """Stand in for _codecs.encode, by which Python 2's byte strings are written."""
    return text.encode("latin-1" if encoding == "latin1" else "ascii")


class _Type:
    """Stands in for numpy.dtype, which takes a hostile state for granted and crashes."""

    def __init__(self, code, *_):
        self.code = code

    def __setstate__(self, state):
        """Take no note of byte order and fields: bytes have none."""


class _Array:
    """Stands in for numpy.ndarray; admits bytes alone."""

    def __init__(self, *_):
        self.values = None

    def __setstate__(self, state):
        _, shape, kind, by_columns, content = state
        if kind.code not in ("u1", b"u1") or by_columns:
            raise ValueError("an array of another type")
        self.values = np.frombuffer(content, np.uint8).reshape(shape)


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _latin,
}


# The one in Python, since the one in C believes what it reads.
class _Unpickler(pickle._Unpickler):
    """Admits arrays of bytes, bytes, str, list, dict and int alone."""

    dispatch = pickle._Unpickler.dispatch.copy()

    def find_class(self, module: str, name: str):
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        wanted = f"{module}.{name}"
        raise _Forbidden(wanted[:80] if wanted.isprintable() else f"{wanted[:40]!a}")

    def load_build(self):
        """Give an object its state: an array or a type, not a function or a class."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _Type):
            raise _Forbidden("a change of what is no array")
        self.stack[-1].__setstate__(state)

    dispatch[pickle.BUILD[0]] = load_build
