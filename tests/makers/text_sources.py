"""Texts in tables and folders, written and read for tests."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kiln import params
from kiln.modalities.text.formats import TextFiles
from kiln.params import schema
from kiln.sources import containers, folders, records, tables

TEXT = TextFiles()
PARTS = {"text": TEXT}


def fetch_settings(column: str | list[str] = "auto", inputs=None, **source) -> params.Fetch:
    """Make a fetch section for texts in a table."""
    inputs = inputs or {"text": "text"}
    parts = {part: {"column": column} for part, modality in inputs.items() if modality == "text"}
    return schema.model_for(inputs).model_fields["fetch"].annotation(source={"name": "table", **source}, **parts)


def read_table(
    path: Path, surprises: records.Surprises | None = None, parts=PARTS, **changes
) -> list[tuple[str, str, str | None, bytes]]:
    """Read a table of texts: id, label, split and text of each row."""
    surprises = surprises or records.Surprises()
    settings = fetch_settings(inputs=dict.fromkeys(parts, "text"), **changes)
    source = tables.open_tables(path, settings, parts, surprises)
    found = list(source.records(None))
    assert [one[:4] for one in found] == list(source.places())
    assert list(source.records({one.id for one in found[1:]})) == found[1:]
    assert len({one.id for one in found}) == len(found)
    return [(*one[:3], *(one.contents[part].bytes for part in parts)) for one in found]


def read_folder(path: Path, surprises: records.Surprises | None = None) -> list[records.Record]:
    """Read a folder or archive of files of text."""
    surprises = surprises or records.Surprises()
    container = containers.open_container(path, surprises.skipped)
    return list(folders.open_source(container, "text", TEXT, surprises, path).records(None))


def write(path: Path, content: str | bytes) -> Path:
    """Write a file, and the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_parquet(path: Path, columns: dict, names: list[str] | None = None) -> Path:
    """Write Parquet; names are those of Hugging Face's ClassLabel."""
    table = pa.table(columns)
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path
