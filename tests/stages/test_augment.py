import io

import pyarrow as pa
import pytest
from makers.datasets import image_plan, source
from makers.images import noise
from makers.settings import OFF, configure
from PIL import Image

from kiln.core import files
from kiln.modalities import views
from stages import augment


def plan(**changes) -> views.Plan:
    return image_plan("offline", 2, **{"rotate": 20, "crop": 0.2, **changes})


def test_every_sample_has_every_view(tmp_path):
    tables = list(augment.make_views(source(tmp_path), plan(), seed=0))
    ids = pa.concat_tables(table for _, table in tables)["id"].to_pylist()
    assert sorted(ids) == sorted(f"{i}.png@{view}" for i in range(30) for view in range(2))
    assert {split for split, _ in tables} == {"train"}


def test_workers_change_no_byte(tmp_path):
    data = source(tmp_path)
    one, five = (pa.concat_tables(t for _, t in augment.make_views(data, plan(), 0, workers)) for workers in (1, 5))
    assert one.equals(five)


def test_views_differ_from_each_other_and_with_the_seed(tmp_path):
    data = source(tmp_path)
    table = pa.concat_tables(t for _, t in augment.make_views(data, plan(), 0))
    other = pa.concat_tables(t for _, t in augment.make_views(data, plan(), 1))
    first, second = table["image"][:30], table["image"][30:]
    assert sum(a != b for a, b in zip(first, second, strict=True)) > 25
    assert sum(a != b for a, b in zip(table["image"], other["image"], strict=True)) > 50


def test_the_sheet_shows_originals_first_then_views(tmp_path):
    sheet = augment.show_views(source(tmp_path), image_plan(flip=1), 0)["image"]
    shown = Image.open(io.BytesIO(sheet.content)).convert("L")
    assert shown.size == (8 * 60 + 4, 7 * 60 + 4)  # the first row group holds seven samples
    corner, mirrored = noise(0)[0, 0, 0], noise(0)[0, 7, 0]
    assert [shown.getpixel((7 + 60 * column, 7)) for column in range(8)] == [corner, *[mirrored] * 7]


@pytest.mark.parametrize(("mode", "active"), [("online", True), ("offline", False)])
def test_online_and_off_write_no_views(tmp_path, monkeypatch, capsys, mode, active):
    source(tmp_path / "data/clean")
    files.seal(tmp_path / "data/clean")
    monkeypatch.chdir(tmp_path)
    configure(tmp_path, augment__mode=mode, **({} if active else {f"augment__image__{name}": 0 for name in OFF}))
    augment.main()
    assert f"augment: {mode if active else 'off'}; 0 views of 30" in capsys.readouterr().out
    assert not list((tmp_path / "data/augmented").rglob("*.parquet"))
    assert views.load(tmp_path / "data/augmented").mode == mode
    assert (tmp_path / "data/augmented/samples/image.png").is_file()
