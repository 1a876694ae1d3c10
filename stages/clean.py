"""Decode every sample, find its faults, set aside by policy, split.

    python -m stages.clean --dry-run     print counts and the worst of each reason, write nothing

One pass decodes in parallel and spools the values to disk; one row of facts per
sample stays in memory. Copies, labels and splits are decided from both; a second
pass writes the splits.
"""

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kiln import params
from kiln.core import entry, files
from kiln.modalities.base import Part
from kiln.quality import budget, corrections, decoding, findings, publishing, summary, unlabelled
from kiln.quality.examination import Examined, examine
from kiln.store import dataset

SOURCE = Path("data/raw")
OUTPUT = Path("data/clean")
EXHIBITS_PER_REASON = 12


def wants_dry_run() -> bool:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m stages.clean", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--dry-run", action="store_true", help="print counts and the worst of each reason, write nothing"
    )
    return parser.parse_args().dry_run


def save(
    folder: Path, examined: Examined, parts: Mapping[str, Part], values: Mapping[str, np.ndarray], seed: int, more: dict
) -> dict:
    """Write the dataset and the evidence; return the summary, with what there is ``more`` to say.

    Raises:
        UserError: a class or a split is left without samples.
    """
    counts = summary.count_kept(examined)
    budget.check_classes(examined, counts, parts)
    classes = counts.index.tolist()
    kept = publishing.list_kept(examined, classes, parts, values, seed)
    dataset.write(folder, kept, "clean", classes=classes, parts={name: part.to_json() for name, part in parts.items()})
    sampled, sheets = publishing.show_samples(examined, classes, parts, values)
    for name, sheet in sheets.items():
        files.write_bytes(folder / f"samples/{name}{sheet.suffix}", sheet.content)
    listed, facts = examined.findings, examined.facts
    for name, action in (("set_aside", findings.DROP), ("flags", findings.FLAG)):
        pq.write_table(findings.table(listed[listed["action"] == action], facts), folder / f"{name}.parquet")
    measures = pa.Table.from_pandas(publishing.list_measures(examined, parts), preserve_index=False)
    pq.write_table(measures.replace_schema_metadata(), folder / "measures.parquet")
    evidence = findings.list_evidence(listed, facts, parts, values, EXHIBITS_PER_REASON)
    pq.write_table(evidence, folder / "evidence.parquet")
    counted = summary.summarize(examined, counts, parts, sampled) | more
    files.write_json(folder / "summary.json", counted)
    return counted


def save_unlabelled(
    folder: Path, examined: Examined, parts: Mapping[str, Part], values: Mapping[str, np.ndarray], *how
) -> dict:
    """Write the samples without labels that may be learnt from, if there are any; ``how`` is settings and seed.

    Returns:
        unlabelled: how many there are; nothing where fetch packed none.
    """
    source = SOURCE / unlabelled.NAME
    if not source.is_dir():
        return {}
    raw, about = dataset.open_dataset(source, "raw"), {name: part.to_json() for name, part in parts.items()}
    files.need_room(folder, 3 * raw.rows() * dataset.bytes_per_sample(parts))  # spooled twice, then as shards
    judged, own = unlabelled.clean(raw, folder, examined, parts, values, *how)
    counts, classes = unlabelled.summarize(judged), summary.count_kept(examined).index.tolist()
    place = folder / unlabelled.NAME
    if counts["kept"]:
        dataset.write(place, unlabelled.list_kept(judged, parts, own), "unlabelled", classes=classes, parts=about)
    gone = pa.Table.from_pandas(judged[judged["reason"].notna()], preserve_index=False)
    pq.write_table(gone.replace_schema_metadata(), folder / "unlabelled_set_aside.parquet")
    shutil.rmtree(folder / unlabelled.SCRATCH)
    print(f"clean: {unlabelled.describe(counts)}")
    return {"unlabelled": counts}


def main() -> None:
    """Clean data/raw/ into data/clean/, or preview that."""
    dry_run = wants_dry_run()
    everything = params.load(uses="clean")
    settings, seed = everything.clean, everything.seed
    files.verify(SOURCE)
    raw, verdicts = dataset.open_dataset(SOURCE, "raw"), corrections.read()
    parts = decoding.settle_parts(raw, everything.inputs, settings)
    place = files.scratch(OUTPUT.with_name(".clean.dry-run.partial")) if dry_run else files.publish(OUTPUT)
    with place as folder:
        files.need_room(folder, 2 * raw.rows() * dataset.bytes_per_sample(parts))  # spooled, then as shards
        facts, values = decoding.decode_all(raw, parts, settings, folder)
        examined = examine(facts, parts, values, verdicts, settings, seed)
        if dry_run:
            print(summary.preview(examined, parts, settings.max_set_aside))
            return
        budget.check_budget(examined, settings.max_set_aside)
        more = save_unlabelled(folder, examined, parts, values, settings, seed)
        counted = save(folder, examined, parts, values, seed, more)
        for name in parts:
            (folder / f"{name}.spool").unlink()
    print(f"clean: {summary.describe(counted)}")


if __name__ == "__main__":
    entry.run(main, "clean", OUTPUT)
