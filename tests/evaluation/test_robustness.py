import tracemalloc

import numpy as np
import pytest
from makers.datasets import image_parts, source
from makers.records import IMAGE
from makers.samples import parts_of

from kiln.core import randomness
from kiln.evaluation import robustness
from kiln.modalities.base import STRENGTHS
from kiln.modalities.image import corruptions


class Shades:
    """Takes samples for light whose parts are lighter than middle gray on the mean."""

    def __init__(self, parts=None):
        self.parts = parts or image_parts()

    def predict(self, values) -> np.ndarray:
        light = np.mean([pixels.mean(axis=(1, 2, 3)) for pixels in values.values()], axis=0) >= 128
        return np.stack([~light, light], axis=1)


def test_the_first_images_are_those_of_the_first_rows(tmp_path):
    data = source(tmp_path)
    whole = np.concatenate([batch.parts["image"] for batch in data.batches("train")])
    for count in (0, 1, len(whole)):
        stretches = [values["image"] for values in robustness.read_first(data, "train", count)]
        found = np.concatenate([whole[:0], *stretches])
        assert found.shape == whole[:count].shape and (found == whole[:count]).all()


def test_corruptions_draw_on_from_stretch_to_stretch():
    pixels = np.random.default_rng(0).integers(70, 186, (30, 1, 1, 1), np.uint8) * np.ones((1, 8, 8, 1), np.uint8)
    labels, stretches = (pixels[:, 0, 0, 0] >= 128).astype(int), [{"image": pixels[:20]}, {"image": pixels[20:]}]
    table = robustness.score_corrupted(Shades(), iter(stretches), labels, np.arange(30), seed=3)
    assert len(table) == 1 + len(corruptions.CORRUPTIONS) * len(STRENGTHS)
    table = table.set_index("case")
    assert table["accuracy"]["none, none"] == 1
    for name, strength in (("brightness", "strong"), ("noise", "mild"), ("occlusion", "strong")):
        generator = randomness.generator(3, "evaluate", name, strength)
        changed = np.concatenate(
            [corruptions.corrupt(values["image"], name, strength, generator) for values in stretches]
        )
        expected = (Shades().predict({"image": changed})[:, 1] == labels).mean()
        assert table["accuracy"][f"{name}, {strength}"] == expected
    assert 0 < table["accuracy"]["brightness, strong"] < 1
    assert not len(robustness.score_corrupted(Shades(), iter([]), labels[:0], labels[:0], seed=3))


def test_large_images_are_corrupted_one_stretch_at_a_time(monkeypatch):
    monkeypatch.setattr(type(IMAGE), "corruptions", {"contrast": corruptions.CORRUPTIONS["contrast"]})
    stretches = ({"image": np.full((2, 256, 256, 3), number, np.uint8)} for number in range(40))  # of 0.4 MB
    labels = np.zeros(80, int)
    tracemalloc.start()
    robustness.score_corrupted(Shades(), stretches, labels, np.arange(80), seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6  # all of them are 16 MB; one in floats, some 8


def test_one_of_several_parts_is_corrupted_at_a_time(monkeypatch):
    monkeypatch.setattr(type(IMAGE), "corruptions", {"brightness": corruptions.CORRUPTIONS["brightness"]})
    pixels = np.random.default_rng(0).integers(70, 186, (40, 1, 1, 1), np.uint8) * np.ones((1, 8, 8, 1), np.uint8)
    values, classifier = {"left": pixels, "right": 255 - pixels}, Shades(parts_of("left", "right"))
    labels = np.ones(40, int)  # the two are as light as middle gray
    table = robustness.score_corrupted(classifier, [values], labels, np.arange(40), seed=0).set_index("case")
    cases = [f"{part}.brightness, {strength}" for part in values for strength in STRENGTHS]
    assert list(table.index) == ["none, none", *cases]
    for part in values:
        generator = randomness.generator(0, "evaluate", f"{part}.brightness", "strong")
        changed = {**values, part: corruptions.corrupt(values[part], "brightness", "strong", generator)}
        expected = classifier.predict(changed)[:, 1].mean()
        assert table["accuracy"][f"{part}.brightness, strong"] == expected < 1
    nested = robustness.summarize(table.reset_index(), 40)
    assert nested["right.brightness"].keys() == set(STRENGTHS)
    assert nested["mean"] == pytest.approx(table["accuracy"][1:].mean())
