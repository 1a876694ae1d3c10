"""Seeded labels and probabilities."""

import numpy as np

LABELS = np.array([0, 1, 2, 1], np.int32)
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.0, 0.1, 0.9], [0.05, 0.0, 0.95]], np.float32)


def sample(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 1.5
    raw = np.exp(logits)
    return labels, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


def patients(units: int, uneven: float, share: float, alike: float, generator) -> tuple[np.ndarray, np.ndarray]:
    size = np.maximum(1, generator.lognormal(3.2, uneven, units)).astype(int) if uneven else np.full(units, 30)
    unit = np.repeat(np.arange(units), size)
    spread = 1 / alike - 1
    return generator.random(len(unit)) < generator.beta(share * spread, (1 - share) * spread, units)[unit], unit
