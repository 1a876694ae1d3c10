import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lib import dataset, splits
from stages.lib.errors import UserError

NO_PAIRS = pd.DataFrame({"first": [], "second": []}, dtype=int)


def frame(**columns) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    base = {"id": [str(i) for i in range(rows)], "label": ["a"] * rows, "split": [None] * rows, "group": [None] * rows}
    made = pd.DataFrame({**base, **columns}, dtype=object)
    return made.where(made.notna(), None)


def assigned(facts: pd.DataFrame, *fractions_and_seed) -> pd.Series:
    return splits.assign(facts, splits.units(facts, NO_PAIRS), *fractions_and_seed)


def test_components():
    assert splits.components(5, [0, 3], [1, 1]).tolist() == [0, 0, 1, 0, 2]


def test_units_join_copies_and_groups_whatever_the_order():
    facts = frame(group=[None, "p", "p", None, None])
    pairs = pd.DataFrame({"first": [0], "second": [1]})
    unit = splits.units(facts, pairs)
    assert unit[0] == unit[1] == unit[2]
    assert unit.nunique() == 3
    shuffled = facts.iloc[[4, 2, 0, 3, 1]]
    assert splits.units(shuffled, pairs).sort_index().tolist() == unit.tolist()


def test_splits_are_stratified_and_seeded():
    facts = frame(label=["a"] * 200 + ["b"] * 50)
    made = assigned(facts, 0.2, 0.1, 0)
    table = pd.crosstab(facts["label"], made)
    assert table.loc["a"].to_dict() == {"test": 40, "train": 144, "validation": 16}
    assert table.loc["b"].to_dict() == {"test": 10, "train": 36, "validation": 4}
    assert (made == assigned(facts, 0.2, 0.1, 0)).all()
    assert (made != assigned(facts, 0.2, 0.1, 1)).any()


def test_the_order_of_images_moves_none():
    facts = frame(label=["a", "b"] * 50)
    shuffled = facts.sample(frac=1, random_state=0)
    assert (assigned(shuffled, 0.2, 0.1, 0).sort_index() == assigned(facts, 0.2, 0.1, 0)).all()


def test_the_sources_splits_stand_and_validation_comes_from_train():
    facts = frame(split=["test"] * 10 + ["train"] * 90)
    made = assigned(facts, 0.5, 0.1, 0)
    assert (made[:10] == "test").all()
    assert (made == "test").sum() == 10
    assert (made[10:] == "validation").sum() == 9
    given_validation = frame(split=["validation"] * 5 + ["test"] * 5 + ["train"] * 90)
    assert assigned(given_validation, 0.5, 0.1, 0).tolist() == given_validation["split"].tolist()


def test_the_last_image_of_a_class_stays_in_train():
    facts = frame(label=["a", "b", "b", "b", "b"])
    assert assigned(facts, 0.9, 0.9, 0)[0] == "train"


def test_a_class_of_three_reaches_every_split():
    assert sorted(assigned(frame(label=["a"] * 4), 0.01, 0.01, 0)) == [
        "test",
        "train",
        "train",
        "validation",
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, "p", "q", "r"])), min_size=1, max_size=60),
    st.integers(0, 9),
)
def test_no_group_straddles_and_every_image_has_one_place(rows, seed):
    facts = frame(label=[label for label, _ in rows], group=[group for _, group in rows])
    made = assigned(facts, 0.3, 0.3, seed)
    assert set(made) <= set(dataset.SPLITS)
    assert made.index.equals(facts.index)
    straddling = made.groupby(facts["group"]).nunique()
    assert (straddling <= 1).all()
    assert (made == "train").any()


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([[5, 1, 1]], "1 class is left"),
        ([[5, 1, 1], [0, 1, 1]], "class 1 has no image left for train"),
        ([[5, 0, 1], [5, 0, 1]], "no image is left for validation: no class has one to spare"),
    ],
)
def test_splits_that_cannot_serve_are_refused(counts, says):
    with pytest.raises(UserError, match=says):
        splits.check(pd.DataFrame(counts, columns=dataset.SPLITS))
