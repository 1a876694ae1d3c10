"""How well wrong labels are found, on real label noise, compared with cleanlab's default.

    python tests/bench/labels.py IMAGES.zip LABELS.csv

LABELS.csv holds path,label,human_label: the true label and the one that people
gave. The ranking is judged as a detector of the differences. cleanlab is measured
on the same where it is installed (`python -m pip install cleanlab`).
"""

import csv
import sys
import time
import zipfile
from pathlib import Path

import memory
import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from kiln.modalities.image import decoding, features
from kiln.modalities.image.conversion import Conversion
from kiln.quality import labels
from kiln.quality.judges import Kernel

try:
    from cleanlab.classification import CleanLearning
except ImportError:
    CleanLearning = None

SEED = 0


def load(archive: str, table: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read pixels uint8 [N, 32, 32, 3], true and given labels [N]."""
    with Path(table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    conversion = Conversion(32, 32, 3, "crop")
    with zipfile.ZipFile(archive) as source:
        full = {name.partition("/")[2]: name for name in source.namelist()}
        pixels = np.stack([decoding.convert(source.read(full[row["path"]]), conversion) for row in rows])
    classes = {name: number for number, name in enumerate(sorted({row["label"] for row in rows}))}
    true, given = (np.array([classes[row[name]] for row in rows]) for name in ("label", "human_label"))
    return pixels, true, given


def kiln(pixels: np.ndarray, given: np.ndarray) -> labels.Judged:
    """Judge labels as clean does."""
    rows, generator = np.arange(len(pixels)), np.random.default_rng(SEED)
    made = features.fit(pixels, rows, features.LARGE, generator).transform(pixels, rows)
    folds = labels.deal(given, rows.astype(str), SEED)
    return labels.judge([Kernel(made)], given, folds, given.max() + 1, generator)


def cleanlab_default(pixels: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Score labels with cleanlab's default settings: logistic regression on the pixels, five folds."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
    return CleanLearning(seed=SEED).find_label_issues(flat, given)["label_quality"].to_numpy()


def report(name: str, seconds: float, quality: np.ndarray, wrong: np.ndarray) -> None:
    """Print how well low qualities point to wrong labels."""
    precision, area = average_precision_score(wrong, -quality), roc_auc_score(wrong, -quality)
    print(f"{name:<40}{precision:>18.3f}{area:>9.3f}{seconds:>9.0f}", flush=True)


def main() -> None:
    """Judge both rankings."""
    pixels, true, given = load(*sys.argv[1:3])
    wrong = true != given
    print(f"{len(pixels):,} images, {wrong.mean():.1%} with a wrong label, seed {SEED}")
    print(f"{'':<40}{'average precision':>18}{'ROC AUC':>9}{'seconds':>9}")
    start = time.perf_counter()
    judged = kiln(pixels, given)
    report("Kiln: patch features, kernel ridge", time.perf_counter() - start, judged.quality, wrong)
    peak = memory.peak()
    if CleanLearning:
        start = time.perf_counter()
        by_default = cleanlab_default(pixels, given)
        report("cleanlab's default: logistic regression", time.perf_counter() - start, by_default, wrong)
    else:
        print("cleanlab is not installed")
    print(f"Kiln: peak {peak:,.0f} MB, {judged.noise:.1%} of the labels seem to come from chance")
    for least in (0.5, 0.7, 0.9):
        flagged = judged.is_suspect(least)
        found = flagged & wrong
        suggested = np.count_nonzero(found & (judged.suggestion == true)) / max(1, np.count_nonzero(found))
        print(
            f"  below {least}: {flagged.sum():,} flagged, {found.sum() / max(1, flagged.sum()):.0%} of them wrong; "
            f"for {suggested:.0%} of these the suggestion is the true label"
        )


if __name__ == "__main__":
    main()
