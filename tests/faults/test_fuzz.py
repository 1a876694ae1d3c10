"""Readers on hostile bytes: one sentence or the documented outcome comes out, never another exception."""

import gzip
import io
import itertools
import json
import pickle
import tarfile
import warnings
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import text_sources as texts
from makers.datasets import image_table, write_images
from makers.effort import fuzz
from makers.images import noise, png
from makers.projects import ROOT
from makers.records import IMAGE, PARTS
from makers.tiffs import tiff
from PIL import Image, ImageCms

from kiln import params
from kiln.core import encodings, formats
from kiln.core.errors import UserError
from kiln.modalities import base
from kiln.modalities.image import colors, decoding
from kiln.modalities.image.conversion import Conversion
from kiln.sources import cifar, containers, folders, listing, manifest, parquet, records, shelf, tables
from kiln.sources import names as naming
from kiln.store import dataset

CONVERSION = Conversion(8, 8, 3, "crop")
FILES = {"cats/1.png": png(0), "cats/2.png": png(1), "dogs/1.png": png(2), "notes.txt": b"x" * 600}
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "set", "cut", "insert", "drop", "copy"]),
        st.integers(0, 2**16),
        st.binary(min_size=1, max_size=8) | st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 600]),
    ),
    min_size=1,
    max_size=8,
)


def edited(content: bytes, edits) -> bytes:
    """Flip, set, cut, splice in, drop or copy some bytes, each at a place."""
    content = bytearray(content)
    for what, place, value in edits:
        place %= len(content) + 1
        rest = content[place:]
        match what:
            case "flip":
                content[place : place + len(value)] = bytes(a ^ b for a, b in zip(rest, value, strict=False))
            case "set":
                content[place : place + len(value)] = value
            case "cut":
                # Mostly near the end, else little would be left to read.
                del content[len(content) - min(place, 7 * len(value)) :]
            case "insert":
                content[place:place] = value
            case "drop":
                del content[place : place + len(value)]
            case "copy":
                content[place:place] = rest[: 100 * len(value)]
    return bytes(content)


def hostile(originals: list[bytes]):
    """Bytes that are arbitrary, arbitrary after a good start, or an original with edits."""
    starts = sorted({original[:length] for original in originals for length in (4, 12, 40)})
    anything = st.binary(max_size=2000)
    return (
        anything
        | st.builds(bytes.__add__, st.sampled_from(starts), anything)
        | st.builds(edited, st.sampled_from(originals), EDITS)
        | st.builds(edited, st.sampled_from(originals), EDITS)
        | st.builds(edited, st.sampled_from(originals), EDITS)
    )


def one_sentence(error: UserError) -> None:
    assert 10 < len(str(error)) < 3000
    assert "\n" not in str(error)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


PARAMS = (ROOT / "params.yaml").read_bytes()
TRICKY = (
    "1e-4 1e999 -1 .nan .inf 010 0x10 no null ~ true '' \"x [ ] { } [[[]]] {a: *a} &a *a !!int !x 2025-02-30 "
    "12:30:45 0b2 +1 1_000 <<: ? - | > % @ ` # %YAML ... --- \ufeff \x85 \u2028 9999999999999999999999"
)
VALUES = st.sampled_from(TRICKY.split(" "))


def written(lines: list[bytes], changes) -> bytes:
    """Change lines of the file: the value, the name, or leave it out."""
    lines = list(lines)
    for what, number, value in changes:
        number %= len(lines)
        key, _, _ = lines[number].partition(b":")
        lines[number] = {
            "value": key + b": " + value.encode(),
            "key": value.encode() + lines[number],
            "after": lines[number] + value.encode(),
            "gone": b"#",
        }[what]
    return b"\n".join(lines)


CHANGES = st.lists(
    st.tuples(st.sampled_from(["value", "key", "after", "gone"]), st.integers(0, 500), VALUES), min_size=1, max_size=4
)


@fuzz
@given(content=hostile([PARAMS]) | st.builds(written, st.just(PARAMS.split(b"\n")), CHANGES))
def test_params(place, content):
    path = place / "params.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(params.load(path), params.Params)
    except UserError as error:
        one_sentence(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("../x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def written_set(place):
    folder = place / "set"
    table = image_table(["a", "b"], np.array([0, 1]), np.stack([noise(0), noise(1)]))
    write_images(folder, [("train", table), ("test", table)], "ab")
    return folder, json.loads((folder / "manifest.json").read_bytes())


@fuzz
@given(data=st.data())
def test_manifest(written_set, data):
    folder, manifest = written_set
    text = json.dumps(manifest).encode()
    if data.draw(st.booleans()):
        content = data.draw(hostile([text]))
    else:
        changed = json.loads(text)
        about = changed["parts"]["image"]
        holder = data.draw(st.sampled_from([changed, *changed["shards"], changed["parts"], about, about["conversion"]]))
        holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)
        content = json.dumps(changed).encode()
    (folder / "manifest.json").write_bytes(content)
    try:
        opened = dataset.open_dataset(folder, "clean")
        for split in dataset.SPLITS:
            for batch in opened.batches(split):
                for name, part in opened.parts.items():
                    assert batch.parts[name].shape[1:] == part.conversion.image_shape
                assert set(batch.labels) <= set(range(len(opened.classes)))
    except UserError as error:
        one_sentence(error)


def zipped(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unflagged(names: list[bytes]) -> bytes:
    """A zip whose names are any bytes, of a system that any byte names, without a word on their encoding."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names):
            info = zipfile.ZipInfo(f"{number:02}" + "x" * (len(name) - 2))
            info.create_system = name[0]
            archive.writestr(info, png(number))
    content = buffer.getvalue()
    for number, name in enumerate(names):
        content = content.replace(f"{number:02}".encode() + b"x" * (len(name) - 2), name)
    return content


def tarred(mode: str, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:
        for name, content in FILES.items():
            info = tarfile.TarInfo(name.replace("2", "long" * 40))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read_archive(path, content: bytes) -> None:
    path.write_bytes(content)
    surprises = records.Surprises()
    try:
        container = containers.open_container(path, surprises.skipped)
        for record in folders.open_source(container, "image", IMAGE, surprises, path).records(None):
            assert record.label and ".." not in record.id.split("/") and not record.id.startswith("/")
    except UserError as error:
        one_sentence(error)
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return tmp_path_factory.mktemp("archives")


@fuzz
@given(content=hostile([zipped(zipfile.ZIP_DEFLATED), zipped(zipfile.ZIP_STORED)]))
def test_zip(alone, content):
    read_archive(alone / "x.zip", content)


@fuzz
@given(
    content=hostile([tarred(mode) for mode in ("w", "w:gz", "w:bz2", "w:xz")] + [tarred("w", tarfile.GNU_FORMAT)])
    # What is edited before it is compressed passes the checksums.
    | st.builds(lambda content, edits: gzip.compress(edited(content, edits), 1), st.just(tarred("w")), EDITS)
)
def test_tar(alone, content):
    read_archive(alone / "x.zip", content)


SPLITS = st.sampled_from(["train", "test", "val", "eval", "pred", "seg_train", "seg_test", "Test_set", "train val"])
STEPS = (
    SPLITS
    | st.sampled_from(["data", "a", "b", "c", "images", "masks", "cat", "Cat", "cat ", ".", "..", "\u200b", ".git"])
    | st.text(max_size=4)
)
FILE_NAMES = st.sampled_from(["1.png", "2.jpg", "3", "4.heic", "5.txt", "6.npy", "7.jpg?x=1", "\n.png", "\u202e.png"])
PATHS = st.lists(
    st.builds(lambda steps, name: listing.escaped("/".join([*steps, name])), st.lists(STEPS, max_size=4), FILE_NAMES),
    max_size=12,
    unique=True,
)


@fuzz
@given(names=st.lists(st.binary(min_size=3, max_size=30), max_size=6))
def test_names_of_a_zip(alone, names):
    read_archive(alone / "x.zip", unflagged(names))


@fuzz
@given(names=PATHS, passed=PATHS, kind=st.sampled_from([png(0), b"", b"text", b"version https://git-lfs", b"\0\1"]))
def test_layouts(names, passed, kind):
    """Whatever folders are called: no file is lost without a word, no class is called like a split unless noted."""
    listed, links = shelf.Shelf(), shelf.Shelf()
    for name in names:
        listed.add(name)
    for name in passed:
        links.add(name if "." in name else f"{name}/", "symbolic link")
    surprises = records.Surprises()

    def contents(wanted, first=None):
        return ((name, kind[:first]) for name in names if wanted(name))

    container = listing.Container(listed, contents, [], links)
    try:
        places = dict(folders.layout(container, IMAGE, surprises, ROOT).items())
    except UserError as error:
        one_sentence(error)
        return
    labels = {label for _, label, *_ in places.values()}
    assert len(labels) > 1 and all(label == naming.tidy(label) != "" for label in labels)
    assert len({naming.folded(label) for label in labels}) == len(labels)
    telling = {label for label in labels if naming.split_words(label) or naming.is_unlabelled(label)}
    noted = surprises.notes.examples.get("class with the name of a split", [])
    assert set(noted) == telling or len(noted) == 5
    assert surprises.skipped.counts.total() + len(places) == len(names)


def pictures() -> list[bytes]:
    made = []
    rgb, gray = Image.fromarray(noise(0, 12, 10, 3)), Image.fromarray(noise(1, 12, 10)[:, :, 0])
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"):
        for image in (rgb, gray):
            buffer = io.BytesIO()
            meta = kind in ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
            options = {"exif": exif, "icc_profile": profile} if meta else {}
            image.save(buffer, kind, **options)
            made.append(buffer.getvalue())
    for kind, image in (
        ("GIF", gray),
        ("PNG", rgb.convert("P")),
        ("PNG", rgb.convert("RGBA")),
        ("JPEG", rgb.convert("CMYK")),
        ("TIFF", gray.convert("I;16")),
    ):
        buffer = io.BytesIO()
        image.save(buffer, kind, **({"save_all": True, "append_images": [gray]} if kind in ("GIF", "TIFF") else {}))
        made.append(buffer.getvalue())
    buffer = io.BytesIO()
    rgb.save(buffer, "JPEG", progressive=True)
    made.append(buffer.getvalue()[:-2])
    return made + deep_pictures()


def deep_pictures() -> list[bytes]:
    generator, made = np.random.default_rng(0), []
    for kind, channels in itertools.product(("uint16", "int16", "float32", "float64"), (1, 3, 4)):
        values = (generator.random((12, 10, channels)) * 1000).astype(kind)
        for how in ({}, {"deflate": True, "order": ">"}, {"planar": 2}, {"big": True, "orientation": 6}):
            made.append(tiff(values, 2 if channels > 1 else 0, **how, tags={338: [2]} if channels == 4 else {}))
        made.append(tiff(values[..., :2], 1, planar=2, tags={338: [1]}))
    made.append(cv2.imencode(".png", generator.integers(0, 65536, (12, 10, 3), np.uint16))[1].tobytes())
    made.append(cv2.imencode(".jp2", generator.integers(0, 65536, (32, 32, 3), np.uint16))[1].tobytes())
    made.append(b"P6 12 10 4095\n" + generator.integers(0, 4096, 360).astype(">u2").tobytes())
    return made


RANGED = replace(CONVERSION, range=(0.0, 1000.0))


@fuzz
@given(content=hostile(pictures()))
def test_decoding(content):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow's, about what it passes over
        shape = decoding.inspect(content)
        assert shape is None or (min(shape) >= 1 and shape[2] in (1, 3))
        try:
            pixels, size = decoding.decode(content, CONVERSION, max_pixels=10**6)[:2]
            assert pixels.shape == (8, 8, 3) and pixels.dtype == np.uint8
            assert min(size) >= 1
        except base.Undecodable as error:
            assert 0 < len(str(error)) < 300
        span = decoding.span(content, max_pixels=10**6)
        assert span is None or span.low <= span.high
        try:
            assert decoding.decode(content, RANGED, max_pixels=10**6).pixels.shape == (8, 8, 3)
        except base.Undecodable as error:
            assert 0 < len(str(error)) < 300


@fuzz
@given(content=hostile([ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()]))
def test_profiles(content):
    image = Image.fromarray(noise(0, 12, 10, 3))
    try:
        assert colors.to_srgb(image, content).size == image.size
    except colors.Unusable as error:
        assert "read without it" in str(error)


@fuzz
@given(content=st.binary(max_size=200) | hostile(pictures()))
def test_sniff(content):
    name = formats.sniff(content[: formats.HEAD])
    assert name is None or 0 < len(name) < 50


FETCH = params.load(ROOT / "params.yaml").fetch


def packed(**options) -> bytes:
    buffer = io.BytesIO()
    table = pa.table({"image": [png(0), png(1)], "label": ["a", "b"], "split": ["train", "test"], "group": [1, 2]})
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


@fuzz
@given(content=hostile([packed(), packed(compression="none", use_dictionary=False), packed(compression="zstd")]))
def test_parquet(place, content):
    path = place / "x.parquet"
    path.write_bytes(content)
    try:
        source = parquet.open_parquet(path, FETCH, PARTS, records.Surprises())
        assert all(record.label for record in source.records(None))
    except UserError as error:
        one_sentence(error)


LISTS = [
    "path,label,split,group\ncats/1.png,a,train,1\ndogs\\1.png,b,test,2\n",
    'sep=;\r\n"path";"label";"is_valid"\r\n.\\cats\\1;" a";1\r\n2.png;"b\nc";0\r\n',
    '{"file_name": "cats/1.png", "label": "a"}\n{"path": "dogs/1.png", "label": null, "split": "dev"}\n',
    "image\tcat\tdog\ncats/1\t1\t0\ndogs/1\t0\t1\n",
]
WORDS = (
    "path label split file_name cats/1.png CATS\\1 1 ../x /x C:\\x s3://x a A a\u200b \ufb01 test x-dev nan -1 cat dog"
)
CELLS = st.sampled_from([*WORDS.split(" "), "", " ", '"', "\ud800", "\0", '"a\nb"', "a" * 200_000])


def separated(separator: str, rows: list[list[str]], encoding: str) -> bytes:
    errors = "surrogatepass" if encoding.startswith("utf") else "replace"
    return "\n".join(separator.join(row) for row in rows).encode(encoding, errors)


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("listed")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@fuzz
@given(
    name=st.sampled_from(["m.csv", "m.tsv", "m.txt", "m.jsonl", "m.parquet", "m.xlsx"]),
    content=hostile([text.encode(form) for text in LISTS for form in ("utf-8", "utf-8-sig", "utf-16")] + [packed()])
    | st.builds(
        separated,
        st.sampled_from(",;\t|"),
        st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=5),
        st.sampled_from(["utf-8", "utf-16"]),
    )
    | st.lists(JSON | st.dictionaries(CELLS, CELLS | JSON, max_size=4), max_size=4).map(
        lambda rows: "\n".join(map(json.dumps, rows)).encode()
    ),
    columns=st.sampled_from([{}, {"label_column": ["cat", "dog"], "image_column": "image"}, {"label_column": "split"}]),
)
def test_lists(listed, name, content, columns):
    for other in listed.glob("m.*"):
        other.unlink()
    (listed / name).write_bytes(content)
    surprises = records.Surprises()
    try:
        container = containers.open_container(listed, surprises.skipped)
        settings = FETCH.model_copy(update={"manifest": name, **columns})
        for record in manifest.open_manifest(container, settings, PARTS, surprises, listed).records(None):
            assert record.label and record.label == record.label.strip() and record.id in FILES
            assert record.split in (None, "train", "validation", "test")
            json.dumps(record[:4]).encode()
    except UserError as error:
        one_sentence(error)
        str(error).encode()


TABLES = [
    'text,label,split,group\n"hello, ""you""",a,train,1\n"two\nlines",b,test,2\n',
    'sentence\tlabel\n"open\tx\nfine\ty\n',
    '{"text": "a\\ud83d", "label": "a"}\n{"text": null, "label": 1, "split": "dev"}\n',
    "label;text\nx;Gr\u00f6\u00dfe\ny;\u00c4rger\n",
]
TEXT_WORDS = st.sampled_from(["text", "label", "split", "a", "", " ", '"', '"a\nb"', "\0", "\xe9", "x" * 3000])


def written_texts() -> bytes:
    buffer = io.BytesIO()
    table = {"text": ["a", None, "c\x1e"], "label": ["x", "y", "x"], "split": ["train", "test", None]}
    pq.write_table(pa.table(table), buffer)
    return buffer.getvalue()


@fuzz
@given(
    name=st.sampled_from(["x.csv", "x.tsv", "x.txt", "x.jsonl", "x.parquet"]),
    content=hostile(
        [text.encode(form, "replace") for text in TABLES for form in ("utf-8", "utf-16", "cp1252", "gb18030")]
        + [written_texts()]
    )
    | st.builds(
        separated,
        st.sampled_from(",;\t|"),
        st.lists(st.lists(CELLS | TEXT_WORDS, min_size=1, max_size=4), max_size=6),
        st.sampled_from(["utf-8", "utf-16", "cp1252"]),
    )
    | st.lists(JSON | st.dictionaries(CELLS | TEXT_WORDS, CELLS | JSON, max_size=4), max_size=4).map(
        lambda rows: "\n".join(map(json.dumps, rows)).encode()
    ),
    column=st.sampled_from(["auto", "label", ["text", "label"]]),
)
def test_tables_of_texts(place, name, content, column):
    """Ids are unique, and every text has bytes."""
    path = place / name
    path.write_bytes(content)
    surprises = records.Surprises()
    try:
        source = tables.open_tables(path, texts.fetch_settings(column), texts.PARTS, surprises)
        found = list(source.records(None))
        assert len({record.id for record in found}) == len(found)
        for record in found:
            assert record.label == record.label.strip() != ""
            assert isinstance(record.contents["text"].bytes, bytes)
            json.dumps(record[:4]).encode()
    except UserError as error:
        one_sentence(error)
        str(error).encode()


@fuzz
@given(head=st.binary(max_size=200) | hostile([text.encode() for text in TABLES]))
def test_heads_of_texts(head):
    assert texts.TEXT.reads(head[: formats.HEAD]) in (True, False)


@fuzz
@given(sample=st.binary(min_size=1, max_size=300))
def test_guesses_of_encodings(sample):
    assert encodings.guess(sample) in (None, *encodings.CANDIDATES)


BATCH = {b"labels": [1], b"data": np.full((1, 3072), ord("x"), np.uint8)}


@fuzz
@given(content=hostile([pickle.dumps(BATCH, protocol) for protocol in range(5)]))
def test_pickle(content):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            labels, pixels = cifar._pickled(content, cifar._PICKLED["cifar10"], "batch")
            assert len(labels) == len(pixels)
        except UserError as error:
            one_sentence(error)
