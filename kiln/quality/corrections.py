"""A person's verdicts on labels, kept in data/corrections.csv across runs."""

import csv
import difflib
from pathlib import Path

import numpy as np
import pandas as pd

from kiln.core.errors import UserError

PATH = Path("data/corrections.csv")


def read(path: Path = PATH) -> pd.DataFrame:
    """Read the verdicts: id, label (empty: leave the sample out; the current label: it is confirmed).

    Raises:
        UserError: the file is missing, has other columns, or gives a sample two labels.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: restore it with `git checkout {path}`; without verdicts it holds `id,label`"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8: save it as CSV in UTF-8") from None
    rows = list(csv.reader(text.splitlines()))
    if not rows or rows[0] != ["id", "label"]:
        raise UserError(f"{path}: its first line should be `id,label`")
    lines = [(number, row) for number, row in enumerate(rows[1:], start=2) if row]
    for number, row in lines:
        if len(row) != 2 or not row[0]:
            raise UserError(f"{path} line {number}: should hold the id of a sample and a label, separated by a comma")
    verdicts = pd.DataFrame([row for _, row in lines], columns=["id", "label"], dtype=object).drop_duplicates()
    twice = verdicts["id"][verdicts["id"].duplicated()]
    if len(twice):
        raise UserError(f"{path} gives {twice.iloc[0]} two labels: keep one of the lines")
    return verdicts


def apply(facts: pd.DataFrame, verdicts: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, int]:
    """Apply the verdicts; those on samples that are not in the source are ignored.

    Args:
        facts: id, label.
        verdicts: id, label.

    Returns:
        The facts with corrected labels, the rows to leave out, and the number of changed labels.

    Raises:
        UserError: a label is not a class of the data.
    """
    corrected = facts["id"].map(verdicts.set_index("id")["label"])
    classes = set(facts["label"])
    unknown = sorted(set(corrected.dropna()) - classes - {""})
    if unknown:
        near = difflib.get_close_matches(unknown[0], classes, n=1)
        raise UserError(
            f"{PATH} holds the label {unknown[0]}, which is not a class of the data"
            + (f": did you mean {near[0]}?" if near else f": the classes are {', '.join(sorted(classes)[:10])}")
        )
    changes = corrected.notna() & (corrected != "") & (corrected != facts["label"])
    label = facts["label"].mask(changes, corrected)
    return facts.assign(label=label), facts.index[corrected == ""].to_numpy(), int(changes.sum())
