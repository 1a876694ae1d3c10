import pytest
from makers.images import noise, png
from makers.pngs import put_in
from makers.samples import parts_of, write_raw
from makers.settings import clean_settings

from kiln.quality import decoding
from kiln.store import dataset


def decode(tmp_path, samples, names=("image",), max_pixels: int = 10**6):
    """Decode samples: the facts, and part -> values."""
    settings = clean_settings(*names, **{f"{name}__max_pixels": max_pixels for name in names})
    raw = write_raw(tmp_path / f"raw{len(list(tmp_path.iterdir()))}", samples, names)
    folder = tmp_path / f"spools{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    return decoding.decode_all(raw, parts_of(*names), settings, folder)


def test_facts_and_values_are_kept(tmp_path):
    contents = [png(0), png(1)[:-30], png(0), b"text", png(2, height=9, width=18), png(3, height=40, width=40)]
    facts, values = decode(tmp_path, contents, max_pixels=1000)
    pixels = values["image"]
    assert (pixels[0] == noise(0)).all() and (pixels[2] == noise(0)).all()
    assert not pixels[[1, 3, 5]].any()
    assert facts["failure"].tolist() == [None, "undecodable", None, "undecodable", None, "too_large"]
    assert facts["digest"].isna().tolist() == facts["failure"].notna().tolist()
    assert facts["digest"][0] == facts["digest"][2]
    assert "truncated" in facts["detail"][1] and "known format" in facts["detail"][3]
    assert facts.loc[4, ["short_side", "aspect"]].tolist() == [9, 2]
    assert facts["contrast"].isna().tolist() == facts["failure"].notna().tolist()


def test_what_is_wrong_beside_the_value_is_a_note(tmp_path):
    facts, values = decode(tmp_path, [put_in(png(0), b"eXIf", b"garbage"), png(1)])
    assert facts["failure"].isna().all() and (values["image"][0] == noise(0)).all()
    assert facts["notes"].tolist() == ["EXIF is broken: read without it", None]
    assert facts["detail"].tolist() == [None, None]


def test_workers_change_no_byte(tmp_path, monkeypatch):
    contents = [png(seed) for seed in range(600)]
    first, values = decode(tmp_path, contents)
    ordered = decoding.parallel.ordered_map
    monkeypatch.setattr(decoding.parallel, "ordered_map", lambda function, items: ordered(function, items, workers=7))
    second, again = decode(tmp_path, contents)
    assert first.equals(second) and (values["image"] == again["image"]).all()


@pytest.mark.parametrize(("limit", "rows"), [(10 * 64 + 63, 10), (1, 1), (2**30, 256)])
def test_slices_are_bounded_by_bytes_and_change_no_byte(tmp_path, monkeypatch, limit, rows):
    contents = [png(seed) for seed in range(300)]
    expected, pixels = decode(tmp_path, contents)
    lengths, ordered = [], decoding.parallel.ordered_map
    monkeypatch.setattr(dataset, "ROW_GROUP_BYTES", limit)
    monkeypatch.setattr(
        decoding.parallel,
        "ordered_map",
        lambda work, slices: ordered(work, (lengths.append(len(p)) or p for p in slices)),
    )
    facts, values = decode(tmp_path, contents)
    assert max(lengths) == rows and sum(lengths) == 300
    assert facts.equals(expected) and (values["image"] == pixels["image"]).all()


GOOD, BROKEN, NOTED = png(0, height=9, width=18), png(1)[:-30], put_in(png(2), b"eXIf", b"garbage")
LARGE = png(3, height=40, width=40)


def test_a_sample_of_which_one_part_is_broken_goes_whole(tmp_path):
    samples = [[GOOD, NOTED], [BROKEN, GOOD], [GOOD, BROKEN], [LARGE, BROKEN], [NOTED, GOOD]]
    facts, values = decode(tmp_path, samples, ("left", "right"), max_pixels=1000)
    assert facts["failure"].tolist() == [None, "undecodable", "undecodable", "too_large", None]
    assert facts["digest"].isna().tolist() == [False, True, True, True, False]
    assert facts["detail"].str.partition(":")[0].tolist() == [None, "left", "right", "left", None]
    assert facts["left.notes"].tolist() == [*[None] * 4, "EXIF is broken: read without it"]
    assert facts["right.notes"].tolist() == ["EXIF is broken: read without it", *[None] * 4]
    assert facts["left.contrast"].isna().tolist() == [False, True, False, True, False]
    assert facts["right.contrast"].isna().tolist() == [False, False, True, True, False]
    assert facts["left.aspect"][[0, 2, 4]].tolist() == [2, 2, 1]
    assert "notes" not in facts and "contrast" not in facts
    assert (values["right"][4] == values["left"][0]).all() and not values["left"][1].any()


def test_swapped_parts_are_another_sample(tmp_path):
    one, other = png(0), png(1)
    facts, _ = decode(tmp_path, [[one, other], [other, one], [one, other], [one, one]], ("left", "right"))
    assert facts["digest"][0] == facts["digest"][2]
    assert facts["digest"].nunique() == 3


def test_each_part_has_the_facts_that_it_has_alone(tmp_path):
    left, right = [png(row) for row in range(5)], [png(row, height=20, width=30) for row in range(5)]
    both, values = decode(tmp_path, [list(pair) for pair in zip(left, right, strict=True)], ("left", "right"))
    for name, contents in (("left", left), ("right", right)):
        alone, pixels = decode(tmp_path, contents)
        for column in alone.columns.drop("digest"):
            qualified = f"{name}.{column}" if f"{name}.{column}" in both else column
            assert both[qualified].equals(alone[column]), column
        assert (values[name] == pixels["image"]).all()


def test_each_part_has_a_conversion_of_its_own(tmp_path):
    samples = [[png(row), png(row, height=20, width=30, channels=3)] for row in range(3)]
    raw = write_raw(tmp_path / "raw", samples, ("left", "right"))
    settings = clean_settings("left", "right", right__size=[10, 12], right__fit="pad")
    parts = decoding.settle_parts(raw, {"left": "image", "right": "image"}, settings)
    assert list(parts) == [part.name for part in parts.values()] == ["left", "right"]
    assert parts["left"].conversion.to_json() == {"height": 8, "width": 8, "channels": 1, "fit": "crop"}
    assert parts["right"].conversion.to_json() == {"height": 10, "width": 12, "channels": 3, "fit": "pad"}
    _, values = decoding.decode_all(raw, parts, settings, tmp_path)
    assert (values["left"].shape, values["right"].shape) == ((3, 8, 8, 1), (3, 10, 12, 3))
