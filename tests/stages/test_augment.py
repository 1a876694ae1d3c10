import pyarrow as pa
from makers.datasets import source
from makers.settings import OFF

from kiln.modalities.image import augmentation
from stages import augment


def plan(**changes) -> augmentation.Policy:
    return augmentation.Policy(**{"mode": "offline", "views": 2, **OFF, "rotate": 20, "crop": 0.2, **changes})


def test_every_image_has_every_view(tmp_path):
    tables = list(augment.views(source(tmp_path), plan(), seed=0))
    ids = pa.concat_tables(table for _, table in tables)["id"].to_pylist()
    assert sorted(ids) == sorted(f"{i}.png@{view}" for i in range(30) for view in range(2))
    assert {split for split, _ in tables} == {"train"}


def test_workers_change_no_byte(tmp_path):
    data = source(tmp_path)
    one, five = (pa.concat_tables(t for _, t in augment.views(data, plan(), 0, workers)) for workers in (1, 5))
    assert one.equals(five)


def test_augmentation_differ_from_each_other_and_with_the_seed(tmp_path):
    data = source(tmp_path)
    table = pa.concat_tables(t for _, t in augment.views(data, plan(), 0))
    other = pa.concat_tables(t for _, t in augment.views(data, plan(), 1))
    first, second = table["pixels"][:30], table["pixels"][30:]
    assert sum(a != b for a, b in zip(first, second, strict=True)) > 25
    assert sum(a != b for a, b in zip(table["pixels"], other["pixels"], strict=True)) > 50


def test_online_and_off_write_no_views(project):
    project.call("fetch")
    project.call("clean")
    off = {"augment__mode": "offline", **{f"augment__image__{strength}": 0 for strength in OFF}}
    for told, changes in {"online": {"augment__mode": "online"}, "off": off}.items():
        project.set(**changes)
        done = project.call("augment")
        assert f"augment: {told}; 0 views of" in done.stdout
        assert not list((project.folder / "data/augmented").rglob("*.parquet"))
        assert (project.folder / "data/augmented/policy.json").is_file()
