import dataclasses

import numpy as np
import pandas as pd
from makers.photographs import photographs
from makers.samples import parts_of
from makers.settings import clean_settings
from makers.texts import as_array, prose, text_parts

from kiln.quality import judges, suspects

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


def test_texts_are_judged_by_their_terms_images_by_features_and_both_by_both():
    pixels, texts = photographs(40), as_array([prose(seed) for seed in range(40)])
    parts, values = {**parts_of("image", shape=(32, 32, 3)), **text_parts()}, {"image": pixels, "text": texts}
    rows, features = np.arange(40), np.ones((40, 4), np.float16)

    def choose(*names):
        chosen = {name: parts[name] for name in names}
        return suspects.choose_judges(chosen, values, rows, features, rows % 2, rows < 30, 0)

    assert [type(judge) for judge in choose("image")] == [judges.Kernel]
    (linear,) = choose("text")
    assert isinstance(linear, judges.Linear) and linear.terms.learned.tolist() == list(range(30))
    assert [type(judge) for judge in choose("image", "text")] == [judges.Kernel, judges.Linear]


def test_what_a_model_is_fitted_on_begins_with_every_class(monkeypatch):
    monkeypatch.setattr(suspects, "OF_EVERY_CLASS", 3)
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    places = np.flatnonzero(np.arange(1000) % 7)
    order = suspects._order(labels, np.arange(1000), places, 0)
    assert np.bincount(labels[order[:9]]).tolist() == [3, 3, 3] and sorted(order) == places.tolist()
    assert (order != suspects._order(labels, np.arange(1000), places, 1)).any()
