import pandas as pd
import pytest

from kiln.core.errors import UserError
from kiln.quality import corrections

FACTS = pd.DataFrame({"id": ["1", "2", "3"], "label": ["cat", "dog", "dog"]})


def verdicts(tmp_path, text: str) -> pd.DataFrame:
    path = tmp_path / "corrections.csv"
    path.write_text(text)
    return corrections.read(path)


def test_labels_change_and_images_are_left_out(tmp_path):
    given = verdicts(tmp_path, '﻿id,label\n1,dog\n2,\n3,dog\n\n"gone, long ago",cat\n')
    facts, left_out, changed = corrections.apply(FACTS, given)
    assert facts["label"].tolist() == ["dog", "dog", "dog"]
    assert left_out.tolist() == [1] and changed == 1
    assert FACTS["label"].tolist() == ["cat", "dog", "dog"]


def test_no_verdicts(tmp_path):
    facts, left_out, changed = corrections.apply(FACTS, verdicts(tmp_path, "id,label\n"))
    assert facts.equals(FACTS) and not len(left_out) and not changed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "first line should be `id,label`"),
        ("path,label\n", "first line should be `id,label`"),
        ("id,label\n1\n", "line 2: should hold the id"),
        ("id,label\n1,cat\n1,dog\n", "gives 1 two labels"),
    ],
)
def test_a_file_that_cannot_be_followed_is_refused(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        verdicts(tmp_path, text)


def test_a_missing_file_and_an_unknown_label_are_refused(tmp_path):
    with pytest.raises(UserError, match="is missing: restore it"):
        corrections.read(tmp_path / "corrections.csv")
    with pytest.raises(UserError, match="not a class of the data: did you mean cat"):
        corrections.apply(FACTS, verdicts(tmp_path, "id,label\n1,cta\n"))
