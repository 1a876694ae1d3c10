"""How often the 95 % intervals of test hold the truth.

    python tests/bench/coverage.py [accuracy] [f1] [units]

accuracy  exact, by the binomial distribution: images that are right independently
f1        simulated: macro F1 of random labels and predictions, with even and uneven classes; the latter also against
          the macro F1 of all classes, of which those without test images are unknown
units     simulated: accuracy and macro F1 where the images of a unit (a patient) are right together
"""

import sys
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from kiln.evaluation import intervals, proportions

LOW, HIGH = 0.93, 0.975
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
SIZES = (20, 50, 100, 200, 500, 1000, 10_000)


def exactly(images: int, share: float) -> tuple[float, bool]:
    """Coverage of the share of right images, and whether any interval of counts has one between LOW and HIGH."""
    counts = np.arange(images + 1)
    low, high = proportions.wilson(counts, images)
    mass = stats.binom.pmf(counts, images, share)
    reached = np.concatenate([[0], np.cumsum(mass)])
    possible = reached[None, :] - reached[np.flatnonzero(mass > 1e-9)[:400], None]
    return mass[(low <= share) & (share <= high)].sum(), bool(((possible >= LOW) & (possible <= HIGH)).any())


def accuracy() -> None:
    """Print the exact coverage; in brackets where the counts allow none between the goals."""
    print("accuracy, images independent: exact coverage in %; (brackets): no set of counts lies between 93 and 97.5")
    print(
        f"{'images':>8}" + "".join(f"{share:>9}" for share in SHARES) + f"{'lowest':>10} of 2,000 shares from 0.5 to 1"
    )
    fine = np.concatenate([np.linspace(0.5, 0.98, 1000), 1 - np.geomspace(1e-4, 0.02, 1000)])
    for images in SIZES:
        cells = []
        for share in SHARES:
            cover, possible = exactly(images, share)
            cells.append(f"{100 * cover:.1f}" if possible else f"({100 * cover:.1f})")
        counts = np.arange(images + 1)
        low, high = proportions.wilson(counts, images)
        lowest = min(stats.binom.pmf(counts, images, p)[(low <= p) & (p <= high)].sum() for p in fine)
        print(f"{images:>8,}" + "".join(f"{cell:>9}" for cell in cells) + f"{100 * lowest:>10.1f}", flush=True)


def population(classes: int, right: float, uneven: bool) -> np.ndarray:
    """Shares of (label, prediction): [K, K], sum 1; a wrong image goes to any other class alike."""
    prior = 1 / np.arange(1, classes + 1) if uneven else np.ones(classes)
    prior = prior / prior.sum()
    table = np.full((classes, classes), (1 - right) / max(classes - 1, 1))
    np.fill_diagonal(table, right)
    return prior[:, None] * table


def true_f1(table: np.ndarray, labels: np.ndarray) -> float:
    """Macro F1 of a population, over the classes that have images: of others a test split tells nothing."""
    return float((2 * np.diag(table) / (table.sum(axis=0) + table.sum(axis=1)))[np.unique(labels)].mean())


def f1_interval(labels, predictions, classes, units, resamples, generator) -> dict:
    """Interval of macro F1 and accuracy of predictions."""
    probabilities = np.full((len(labels), classes), 0.1 / classes, np.float32)
    probabilities[np.arange(len(labels)), predictions] += 0.9
    return intervals.scored(labels, probabilities, resamples, generator, units)[0]


def holds(figures: dict, name: str, truth: float) -> bool:
    """Say whether the interval holds the truth."""
    return figures[f"{name}_ci95"]["low"] <= truth <= figures[f"{name}_ci95"]["high"]


def f1(resamples: int = 200) -> None:
    """Print the simulated coverage of macro F1."""
    shares = (0.5, 0.8, 0.95, 0.99)
    print(f"\nmacro F1, images independent: simulated coverage in %, {resamples} resamples")
    print(
        f"{'images':>8}{'classes':>9}{'trials':>8}  "
        + "".join(f"{f'even {p}':>10}{f'uneven {p}':>12}{'all':>6}" for p in shares)
    )
    generator = np.random.default_rng(0)
    for images, classes, trials in (
        *((50, k, 150) for k in (2, 10, 100)),
        *((200, k, 150) for k in (2, 10, 100)),
        *((1000, k, 100) for k in (2, 10, 100)),
        *((10_000, k, 30) for k in (2, 100)),
    ):
        cells = []
        for share in shares:
            for uneven in (False, True):
                table, held, of_all = population(classes, share, uneven), 0, 0
                for _ in range(trials):
                    drawn = generator.choice(table.size, images, p=table.ravel())
                    labels, predictions = np.divmod(drawn, classes)
                    figures = f1_interval(labels, predictions, classes, None, resamples, generator)
                    held += holds(figures, "f1", true_f1(table, labels))
                    of_all += holds(figures, "f1", true_f1(table, np.arange(classes)))
                cells.append(f"{100 * held / trials:>{12 if uneven else 10}.1f}")
                if uneven:
                    cells.append(f"{100 * of_all / trials:>6.1f}")
        print(f"{images:>8,}{classes:>9}{trials:>8}  " + "".join(cells), flush=True)


def unit_sizes(kind: str, units: int, generator: np.random.Generator) -> np.ndarray:
    """Images of each unit."""
    if kind == "30 each":
        return np.full(units, 30)
    return np.maximum(1, np.exp(generator.normal(3.2, 0.5 if kind == "uneven" else 1, units))).astype(int)


def units(trials: int = 1000, few: int = 100, resamples: int = 200) -> None:
    """Print the simulated coverage where a unit's own share of right images is drawn from a beta distribution."""
    shares = (0.5, 0.8, 0.95, 0.99)
    print(f"\nunits: simulated coverage in %: accuracy ({trials} trials), macro F1 of 3 classes ({few})")
    print(
        f"{'sizes':>14}{'units':>7}{'alike':>7}  "
        + "".join(f"{f'accuracy {p}':>15}" for p in shares)
        + f"{'F1 0.8':>9}"
    )
    generator = np.random.default_rng(0)
    for kind in ("30 each", "uneven", "very uneven"):
        for count in (10, 20, 50, 200):
            for alike in (0, 0.05, 0.333, 0.8):
                cells = []
                for share in shares:
                    held = 0
                    for _ in range(trials):
                        right, unit = _drawn(kind, count, alike, share, generator)
                        low, high = proportions.share(right, unit)
                        held += low <= share <= high
                    cells.append(f"{100 * held / trials:>15.1f}")
                held = 0
                for _ in range(few):
                    right, unit = _drawn(kind, count, alike, 0.8, generator)
                    labels = generator.integers(0, 3, len(right))
                    predictions = np.where(right, labels, (labels + generator.integers(1, 3, len(right))) % 3)
                    held += holds(f1_interval(labels, predictions, 3, unit, resamples, generator), "f1", 0.8)
                print(f"{kind:>14}{count:>7}{alike:>7}  " + "".join(cells) + f"{100 * held / few:>9.1f}", flush=True)


def _drawn(kind: str, count: int, alike: float, share: float, generator: np.random.Generator):
    size = unit_sizes(kind, count, generator)
    spread = 1 / alike - 1 if alike else None
    own = generator.beta(share * spread, (1 - share) * spread, count) if alike else np.full(count, share)
    unit = np.repeat(np.arange(count), size)
    return generator.random(len(unit)) < own[unit], unit


def main() -> None:
    """Print what is asked for, by default all."""
    parts = {"accuracy": accuracy, "f1": f1, "units": units}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
