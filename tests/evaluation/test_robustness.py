import tracemalloc
from types import SimpleNamespace

import numpy as np
from makers.datasets import source

from kiln.core import randomness
from kiln.evaluation import robustness
from kiln.modalities.image import corruptions


def test_the_first_images_are_those_of_the_first_rows(tmp_path):
    data = source(tmp_path)
    whole = np.concatenate([batch.pixels for batch in data.batches("train")])
    for count in (0, 1, len(whole)):
        found = np.concatenate([whole[:0], *robustness.read_first(data, "train", count)])
        assert found.shape == whole[:count].shape and (found == whole[:count]).all()


def shades(model, pixels):
    """Tells dark images from light ones."""
    return np.stack([pixels.mean(axis=(1, 2, 3)) < 128, pixels.mean(axis=(1, 2, 3)) >= 128], axis=1)


def test_corruptions_draw_on_from_part_to_part(monkeypatch):
    monkeypatch.setattr(robustness.prediction, "probabilities", shades)
    pixels = np.random.default_rng(0).integers(70, 186, (30, 1, 1, 1), np.uint8) * np.ones((1, 8, 8, 1), np.uint8)
    labels, parts = (pixels[:, 0, 0, 0] >= 128).astype(int), [pixels[:20], pixels[20:]]
    table = robustness.score_corrupted(SimpleNamespace(model=None), iter(parts), labels, np.arange(30), seed=3)
    assert len(table) == 1 + len(corruptions.CORRUPTIONS) * len(corruptions.STRENGTHS)
    table = table.set_index("case")
    assert table["accuracy"]["none, none"] == 1
    for name, strength in (("brightness", "strong"), ("noise", "mild"), ("occlusion", "strong")):
        generator = randomness.generator(3, "evaluate", name, strength)
        changed = np.concatenate([corruptions.corrupt(part, name, strength, generator) for part in parts])
        expected = (shades(None, changed)[:, 1] == labels).mean()
        assert table["accuracy"][f"{name}, {strength}"] == expected
    assert 0 < table["accuracy"]["brightness, strong"] < 1
    assert not len(robustness.score_corrupted(SimpleNamespace(model=None), iter([]), labels[:0], labels[:0], seed=3))


def test_large_images_are_corrupted_one_part_at_a_time(monkeypatch):
    monkeypatch.setattr(robustness.prediction, "probabilities", shades)
    monkeypatch.setattr(corruptions, "CORRUPTIONS", {"contrast": corruptions.CORRUPTIONS["contrast"]})
    parts = (np.full((2, 256, 256, 3), number, np.uint8) for number in range(40))  # of 0.4 MB
    labels = np.zeros(80, int)
    tracemalloc.start()
    robustness.score_corrupted(SimpleNamespace(model=None), parts, labels, np.arange(80), seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6  # all of them are 16 MB; one in floats, some 8
