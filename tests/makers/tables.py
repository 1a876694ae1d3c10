"""Tables and the files that they list, written and read for tests."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kiln import params
from kiln.sources import containers, records
from kiln.sources import manifest as manifests
from kiln.sources import parquet as parquets
from makers.images import png
from makers.projects import ROOT
from makers.records import PARTS
from makers.settings import change

FETCH = params.load(ROOT / "params.yaml").fetch


LIST = "path,label,split,group\n../img/1.png,NA,train,p1\n../img/2.png,007,test,p2\n../img/3.png,NA,train,p1\n"


def settings(**changes) -> params.Fetch:
    """Change the fetch section, by the knobs of ``change``; the table is lists/all.csv."""
    return change(FETCH, **{"manifest": "lists/all.csv", **changes})


def folder(tmp_path: Path, text: str | bytes = LIST) -> Path:
    (tmp_path / "lists").mkdir()
    (tmp_path / "img").mkdir()
    (tmp_path / "lists/all.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    for number in (1, 2, 3):
        (tmp_path / f"img/{number}.png").write_bytes(png(number))
    return tmp_path


def manifest(path: Path, surprises: records.Surprises | None = None, **changes) -> list[records.Record]:
    surprises = surprises or records.Surprises()
    container = containers.open_container(path, surprises.skipped)
    source = manifests.open_manifest(container, settings(**changes), PARTS, surprises, path)
    found = list(source.records(None))
    assert [one[:4] for one in found] == list(source.places())
    return found


def face(folder: Path, name: str, images: list, labels: list, names: list | None = None, image: str = "image") -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({image: pa.array(images, struct), "label": pa.array(labels)})
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}, image: {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name)


def picture(seed: int) -> dict:
    return {"bytes": png(seed), "path": f"{seed}.png"}


def parquet(path: Path, surprises: records.Surprises | None = None, **changes) -> list[records.Record]:
    source = parquets.open_parquet(path, settings(**changes), PARTS, surprises or records.Surprises())
    found = list(source.records(None))
    wanted = {place.id for place in source.places()}
    assert {one.id for one in found} <= wanted
    assert list(source.records(wanted)) == found
    return found


IMAGES = {"images/a.png": png(0), "images/b.png": png(1), "images/c.png": png(2)}


def laid(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def told(path: Path, **changes) -> tuple[list[tuple], records.Surprises]:
    """Read a manifest: (id, label, split) of its records, and the surprises."""
    surprises = records.Surprises()
    found = manifest(path, surprises, **{"manifest": "manifest.csv", **changes})
    return [one[:3] for one in found], surprises
