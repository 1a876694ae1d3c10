import hashlib
from pathlib import Path

import pytest
from conftest import ROOT, change, png

from kiln import params
from kiln.core import download
from kiln.core.errors import UserError
from kiln.sources import cifar, records, sources

FETCH = params.load(ROOT / "params.yaml").fetch


def settings(**changes) -> params.Fetch:
    return change(FETCH, **changes)


def fill(folder: Path, classes: str = "ab", each: int = 20) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(each):
            (folder / name / f"{index}.png").write_bytes(png(index))
    return folder


def test_digits():
    found = list(sources.read(FETCH, 0, records.Surprises()))
    assert len(found) == 1797
    assert (found[0].id, found[0].label, found[1796].id) == ("0", "0", "1796")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"path": "/photos"}, r"fetch\.source\.name is digits, which reads no path"),
        ({"name": "images", "url": "http://x/y.zip", "path": "/photos"}, r"but fetch\.source\.url is set: choose one"),
        ({"name": "images", "sha256": "0" * 64}, r"fetch\.source\.sha256 is set, but nothing is downloaded"),
        ({"name": "images", "path": "/nowhere"}, "does not exist"),
        ({"name": "parquet", "path": "/nowhere"}, "does not exist"),
        (
            {"name": "manifest", "path": "/x/list.csv"},
            r"set fetch\.path to the folder .* and fetch\.source\.manifest to list\.csv",
        ),
    ],
)
def test_settings_that_would_be_ignored_are_refused(changes, says):
    with pytest.raises(UserError, match=says):
        sources.read(settings(**changes), 0, records.Surprises())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, r"holds a, but fetch\.source\.name is digits"),
        ({"name": "images", "url": "http://x/y.zip"}, r"holds a, but fetch\.source\.url is set: clear fetch"),
    ],
)
def test_the_users_images_are_never_passed_over(tmp_path, monkeypatch, changes, says):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "data/source")
    with pytest.raises(UserError, match=says):
        sources.read(settings(**changes), 0, records.Surprises())


@pytest.mark.parametrize(
    ("changes", "url", "sha256"),
    [
        ({"name": "cifar10"}, cifar.OFFICIAL + "cifar-10-binary.tar.gz", cifar.SHA256["cifar-10-binary.tar.gz"]),
        ({"name": "cifar100"}, cifar.OFFICIAL + "cifar-100-binary.tar.gz", cifar.SHA256["cifar-100-binary.tar.gz"]),
        (
            {"name": "cifar10", "url": "http://mirror/cifar-10-python.tar.gz"},
            "http://mirror/cifar-10-python.tar.gz",
            cifar.SHA256["cifar-10-python.tar.gz"],
        ),
        ({"name": "images", "url": "s3://b/x.zip", "sha256": "1" * 64}, "s3://b/x.zip", "1" * 64),
        ({"name": "images", "url": "s3://b/x.zip"}, "s3://b/x.zip", ""),
    ],
)
def test_what_is_downloaded_and_how_it_is_pinned(tmp_path, monkeypatch, changes, url, sha256):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "fetch", lambda *asked: asked)
    assert sources.locate(settings(**changes)) == (url, sha256, FETCH.source.deadline)


def test_a_limit_draws_by_seed_and_grows_steadily(tmp_path):
    folder = fill(tmp_path / "images")
    drawn = {
        (limit, seed): [
            record.id
            for record in sources.read(
                settings(name="images", path=str(folder), limit=limit), seed, records.Surprises()
            )
        ]
        for limit, seed in [(3, 0), (7, 0), (3, 1), (50, 0)]
    }
    assert [sum(name.startswith(label) for name in drawn[3, 0]) for label in "ab"] == [3, 3]
    assert set(drawn[3, 0]) < set(drawn[7, 0]) < set(drawn[50, 0])
    assert set(drawn[3, 0]) != set(drawn[3, 1])
    assert len(drawn[50, 0]) == 40 and drawn[3, 0] == [name for name in drawn[50, 0] if name in drawn[3, 0]]


@pytest.mark.parametrize("order", [1, -1])
def test_the_draw_does_not_depend_on_the_order(order):
    places = [records.Place(str(number), "a", None) for number in range(9000)][::order]
    digest = hashlib.sha256(" ".join(sorted(records.choose(places, 5, 0))).encode()).hexdigest()
    assert digest == hashlib.sha256(" ".join(sorted(records.choose(places[::-1], 5, 0))).encode()).hexdigest()


def test_a_limit_counts_each_split_apart():
    places = [records.Place(f"{split}{n}", "a", split) for split in ("train", "test") for n in range(10)]
    chosen = records.choose(places, 4, 0)
    assert sum(name.startswith("train") for name in chosen) == 4 and len(chosen) == 8
