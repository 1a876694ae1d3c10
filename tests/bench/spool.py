"""The memory that clean takes to decode, beside slices of 256 images whatever their size.

    python tests/bench/spool.py [IMAGES]

Prints the peak of fresh processes that spool IMAGES (default 6,000) flat PNGs, which
cost little to decode. The cores are made up: a thread each, however many this
machine has. Then the same for transparent images of 24 million pixels, with and
without the budget of what is decoded at the same time.
"""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from kiln.sources.records import Content, Record  # noqa: E402
from kiln.store import dataset  # noqa: E402

SIZES = ((64, 4), (256, 4), (256, 8))  # pixels per side, cores
SPOOL = """
import sys
from pathlib import Path
sys.path[:0] = [{bench!r}, {root!r}]
import memory
import common
from kiln.core import parallel
from kiln.modalities.image import opening
from kiln.params import schema
from kiln.quality import decoding
from kiln.store import dataset
parallel.cores = lambda: {cores}
{change}
raw = dataset.open_dataset(Path({folder!r}) / "raw", "raw")
before = memory.peak()
settings = schema.model_for(schema.DEFAULT_INPUTS).model_fields["clean"].annotation(image={{}})
decoding.decode_all(raw, common.parts_of(({side}, {side}, 3), "stretch"), settings, Path({folder!r}))
print(memory.peak() - before)
"""


def spool(folder: Path, side: int, cores: int, change: str = "") -> float:
    """Give the megabytes that a fresh process takes beyond its imports."""
    names = {"bench": str(Path(__file__).parent), "root": str(ROOT), "folder": str(folder)}
    script = SPOOL.format(**names, side=side, cores=cores, change=change)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout)


def write(folder: Path, images: int, side: int, mode: str = "RGB") -> None:
    """Write a dataset of kind ``raw`` of flat PNGs, a colour each."""
    contents = []
    for number in range(min(images, 64)):
        buffer = io.BytesIO()
        Image.new(mode, (side, side), number).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    records = [
        Record(str(n), "ab"[n % 2], None, None, {"image": Content(contents[n % len(contents)])}) for n in range(images)
    ]
    tables = ((None, dataset.raw_table(records[start : start + 1024], ["image"])) for start in range(0, images, 1024))
    dataset.write(folder / "raw", tables, "raw", parts=["image"])


def main() -> None:
    """Measure and print."""
    images = int(sys.argv[1]) if sys.argv[1:] else 6000
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch), images, 16)
        for side, cores in SIZES:
            whole = spool(Path(scratch), side, cores, "dataset.rows_per_group = lambda shape: 256")
            ours = spool(Path(scratch), side, cores)
            print(f"{side} pixels, {cores} cores: {ours:,.0f} MB; by 256 images {whole:,.0f} MB: {ours / whole:.2f}")
        print(f"1024 pixels, 16 cores: {spool(Path(scratch), 1024, 16):,.0f} MB; 32 slices of 256 would be 25,770 MB")
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch), 16, 4900, "RGBA")
        whole = spool(Path(scratch), 1024, 16, "opening.DECODING.most = 10**15")
        ours = spool(Path(scratch), 1024, 16)
        print(f"24 million pixels, 16 cores: {ours:,.0f} MB; without a budget {whole:,.0f} MB: {ours / whole:.2f}")


if __name__ == "__main__":
    main()
