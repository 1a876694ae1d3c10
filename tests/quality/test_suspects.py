import dataclasses

import numpy as np
import pandas as pd
from makers.photographs import photographs
from makers.samples import parts_of
from makers.settings import clean_settings

from kiln.quality import suspects

SETTINGS = clean_settings()


def stripes() -> tuple[pd.DataFrame, pd.Series, np.ndarray]:
    """Four classes of 40 images, two with a wrong label, class d of one patient: facts, units, pixels."""
    generator = np.random.default_rng(0)
    shown = np.repeat(np.arange(4), 40)
    pixels = np.full((160, 16, 16, 1), 60.0)
    for row, kind in enumerate(shown):
        pixels[row, 4 * kind : 4 * kind + 4] = 180
    pixels = (pixels + generator.normal(0, 20, pixels.shape)).clip(0, 255).astype(np.uint8)
    given = shown.copy()
    given[[5, 50]] = 1, 2
    facts = pd.DataFrame({"label": np.array(list("abcd"), object)[given], "split": "train"})
    facts.loc[::9, "split"] = "test"
    return facts, pd.Series(np.where(shown == 3, "one patient", facts.index.astype(str)), index=facts.index), pixels


def find(facts, unit, settings=SETTINGS, **values) -> pd.DataFrame:
    parts = parts_of(*values, shape=next(iter(values.values())).shape[1:])
    return suspects.find_suspects(facts, unit, parts, values, settings, 0)


def test_wrong_labels_are_flagged_but_none_of_a_class_that_is_one_unit():
    facts, unit, pixels = stripes()
    found = find(facts, unit, image=pixels)
    wrong = found[found["reason"] == "label_error"].set_index("row")
    assert wrong["suggestion"].to_dict() == {5: "a", 50: "b"}
    assert wrong["score"].is_monotonic_increasing and (wrong["score"] < SETTINGS.min_label_quality).all()


def test_one_part_that_tells_is_enough_to_find_wrong_labels():
    facts, unit, pixels = stripes()
    blank = np.random.default_rng(1).integers(0, 256, pixels.shape, np.uint8)
    for values in ({"left": pixels, "right": blank}, {"left": blank, "right": pixels}):
        found = find(facts, unit, **values)
        assert {5, 50} <= set(found["row"][found["reason"] == "label_error"])


def test_nothing_is_judged_where_nobody_asks_or_there_is_one_class():
    facts, unit, pixels = stripes()
    assert find(facts, unit, clean_settings(label_error="keep", outlier="keep"), image=pixels).empty
    assert find(facts.assign(label="a"), unit, image=pixels).empty


def test_features_of_several_parts_are_of_unit_length_and_those_of_one_are_its_own():
    pixels = photographs(40)
    rows = np.arange(40)

    def features(*names):
        generator = np.random.default_rng(0)
        parts = parts_of(*names, shape=(32, 32, 3))
        return suspects.compute_features(parts, dict.fromkeys(names, pixels), rows, rows[:30], generator)

    one, two = features("image"), features("left", "right")
    assert one.dtype == two.dtype == np.float16 and two.shape == (40, 2 * one.shape[1])
    np.testing.assert_allclose(np.linalg.norm(two.astype(float), axis=1), 1, atol=0.01)
    part = dataclasses.replace(parts_of("image", shape=(32, 32, 3))["image"])
    alone = part.modality.compute_features(pixels, rows, rows[:30], np.random.default_rng(0))
    assert (one == alone).all()
