"""Does fetch need more memory for more images? Peak memory for 100,000 by that for 2,000, a source each.

python tests/bench/fetch.py
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import memory
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]

FEW, MANY = 2_000, 100_000
BUFFER = io.BytesIO()
Image.new("L", (8, 8)).save(BUFFER, "PNG")
PICTURE = BUFFER.getvalue()
MEASURE = """
import resource, runpy
runpy.run_module("stages.fetch", run_name="__main__")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def names(count: int) -> list[str]:
    return [f"class{number % 100:03d}/image{number:07d}.png" for number in range(count)]


def as_folder(path: Path, count: int) -> None:
    for name in names(count):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(PICTURE)


def as_zip(path: Path, count: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names(count):
            archive.writestr(name, PICTURE)


def as_tar(path: Path, count: int) -> None:
    with tarfile.open(path, "w") as archive:
        for name in names(count):
            member = tarfile.TarInfo(name)
            member.size = len(PICTURE)
            archive.addfile(member, io.BytesIO(PICTURE))


def as_parquet(path: Path, count: int) -> None:
    rows = {"image": [{"bytes": PICTURE}] * 1000, "label": [str(number % 100) for number in range(1000)]}
    table = pa.table(rows)
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(count // 1000):
            writer.write_table(table)


def peak(write, count: int) -> float:
    """Run fetch on so many images in a process of its own: MB."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        for name in ("kiln", "stages"):
            (project / name).symlink_to(ROOT / name)
        source = project / "source"
        write(source, count)
        yaml = YAML()
        settings = yaml.load((ROOT / "params.yaml").read_text())
        kind = "parquet" if write is as_parquet else "images"
        settings["fetch"].update(source={"name": kind}, path=str(source), image={"column": "auto"})
        with (project / "params.yaml").open("w") as file:
            yaml.dump(settings, file)
        done = subprocess.run([sys.executable, "-c", MEASURE], cwd=project, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return memory.megabytes(float(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure each kind of source."""
    for write in (as_folder, as_zip, as_tar, as_parquet):
        few, many = peak(write, FEW), peak(write, MANY)
        kind = write.__name__.removeprefix("as_")
        print(
            f"{kind:<8} {FEW:,} images {few:>5.0f} MB, {MANY:,} images {many:>5.0f} MB: ratio {many / few:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
