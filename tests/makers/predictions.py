"""Seeded labels and probabilities."""

import numpy as np


def sample(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 1.5
    raw = np.exp(logits)
    return labels, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
