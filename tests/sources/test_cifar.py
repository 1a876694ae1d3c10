import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from makers.records import IMAGE
from PIL import Image

from kiln.core.errors import UserError
from kiln.sources import cifar, containers, records

TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
HUNDRED = [f"thing{number}" for number in range(100)]
FILES = {
    "cifar10": [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"],
    "cifar100": ["train", "test"],
}
EACH = 4


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (EACH, 3, 32, 32), dtype=np.uint8)


def labels(seed: int, kind: str) -> list[int]:
    return [(7 * seed + row) % len(HUNDRED if kind == "cifar100" else TEN) for row in range(EACH)]


def binary(folder: Path, kind: str) -> None:
    for seed, name in enumerate(FILES[kind]):
        rows = [
            (b"\x13" if kind == "cifar100" else b"") + bytes([label]) + image.tobytes()
            for label, image in zip(labels(seed, kind), pixels(seed), strict=True)
        ]
        (folder / f"{name}.bin").write_bytes(b"".join(rows))
    names = {"cifar10": ("batches.meta.txt", TEN), "cifar100": ("fine_label_names.txt", HUNDRED)}[kind]
    (folder / names[0]).write_text("\n".join(names[1]) + "\n\n")


def pickled(folder: Path, kind: str) -> None:
    key = {"cifar10": b"labels", "cifar100": b"fine_labels"}[kind]
    for seed, name in enumerate(FILES[kind]):
        batch = {key: labels(seed, kind), b"data": pixels(seed).reshape(EACH, -1), b"batch_label": b"x"}
        # Protocol 2, as Python 2 wrote them.
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    meta, key, names = {
        "cifar10": ("batches.meta", b"label_names", TEN),
        "cifar100": ("meta", b"fine_label_names", HUNDRED),
    }[kind]
    (folder / meta).write_bytes(pickle.dumps({key: [name.encode() for name in names]}, protocol=2))


def read(path: Path, kind: str) -> list[records.Record]:
    source = cifar.open_source(kind, containers.open_container(path, records.Tally()), "image", IMAGE, path)
    found = list(source.records(None))
    assert [record[:4] for record in found] == list(source.places())
    assert [record.id for record in source.records({found[1].id})] == [found[1].id]
    return found


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
@pytest.mark.parametrize("write", [binary, pickled])
@pytest.mark.parametrize("packed", [True, False])
def test_the_official_layouts(tmp_path, kind, write, packed):
    folder = tmp_path / "cifar-batches"
    folder.mkdir()
    write(folder, kind)
    path = folder
    if packed:
        path = tmp_path / "cifar.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, folder.name)
    found = read(path, kind)
    names = TEN if kind == "cifar10" else HUNDRED
    last = len(FILES[kind]) - 1
    assert len(found) == EACH * len(FILES[kind])
    assert [record.split for record in found].count("test") == EACH
    assert found[-1].id == f"test/{FILES[kind][last]}/{EACH - 1:05d}"
    assert found[-1].label == names[labels(last, kind)[-1]]
    (tmp_path / "x.png").write_bytes(found[-1].contents["image"].bytes)
    assert (np.asarray(Image.open(tmp_path / "x.png")) == pixels(last)[-1].transpose(1, 2, 0)).all()


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pickle.dumps(Hostile()), "asks for (posix|nt).mkdir, which may run code"),
        (pickle.dumps({b"data": np.array([Hostile()], object), b"labels": [1]}), "which may run code"),
        (pickle.dumps(np.float64), "asks for numpy.float64"),
        (pickle.dumps({b"labels": [1], b"data": np.zeros((1, 3072), object)}, 2), "is a damaged pickle"),
        (pickle.dumps({b"labels": [1], b"data": np.zeros((1, 3072), np.int8)}, 2), "is a damaged pickle"),
        (b"\x80\x02c_codecs\nencode\n}(U\x08__name__U\x01xub.", "a change of what is no array, which may run code"),
        (b"c" + b"x" * 5000 + b"\ny\n.", "asks for x{80}, which"),
        (b"c\x1b[2J\ny\n.", r"asks for '\\x1b\[2J\.y', which"),
        (b"nonsense", "is a damaged pickle"),
        (pickle.dumps([1]), "is not as published"),
        (pickle.dumps({b"labels": [1], b"data": np.zeros((1, 5), np.uint8)}), "is not as published"),
        (pickle.dumps({b"labels": [99], b"data": np.zeros((1, 3072), np.uint8)}), "labels beyond its 10 classes"),
    ],
)
def test_a_pickle_that_is_no_batch_is_refused_and_runs_nothing(tmp_path, monkeypatch, content, says):
    monkeypatch.chdir(tmp_path)
    pickled(tmp_path, "cifar10")
    (tmp_path / "data_batch_3").write_bytes(content)
    with pytest.raises(UserError, match=says):
        read(tmp_path, "cifar10")
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("names", [None, [1], [b"\xff"], 7])
def test_classes_without_names_are_refused(tmp_path, names):
    pickled(tmp_path, "cifar10")
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}))
    with pytest.raises(UserError, match=r"batches\.meta names no classes"):
        read(tmp_path, "cifar10")
    binary(tmp_path, "cifar10")
    (tmp_path / "batches.meta.txt").write_bytes(b"cat\n\xff\n")
    with pytest.raises(UserError, match=r"batches\.meta\.txt names no classes"):
        read(tmp_path, "cifar10")


def test_damaged_or_missing_batches_are_one_sentence(tmp_path):
    binary(tmp_path, "cifar10")
    path = tmp_path / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="not a whole number of records of 3073 bytes"):
        read(tmp_path, "cifar10")
    path.unlink()
    with pytest.raises(UserError, match=r"holds no data_batch_2\.bin"):
        read(tmp_path, "cifar10")
