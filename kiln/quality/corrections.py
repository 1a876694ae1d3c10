"""A person's verdicts on labels, kept in data/corrections.csv, so that they last."""

import csv
import difflib
from pathlib import Path

import numpy as np
import pandas as pd

from kiln.core.errors import UserError

PATH = Path("data/corrections.csv")


def read(path: Path = PATH) -> pd.DataFrame:
    """Read the verdicts: id, label (empty: leave the image out; its present label: it is right).

    Raises:
        UserError: the file is missing, has other columns, or names an image twice with two labels.
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
            raise UserError(f"{path} line {number}: should hold the id of an image and a label, with a comma between")
    verdicts = pd.DataFrame([row for _, row in lines], columns=["id", "label"], dtype=object).drop_duplicates()
    twice = verdicts["id"][verdicts["id"].duplicated()]
    if len(twice):
        raise UserError(f"{path} gives {twice.iloc[0]} two labels: keep one of the lines")
    return verdicts


def apply(facts: pd.DataFrame, verdicts: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, int]:
    """Follow the verdicts; those on images that the source does not hold change nothing.

    Args:
        facts: id, label.
        verdicts: id, label.

    Returns:
        The facts with their labels corrected, the rows to leave out, and how many labels changed.

    Raises:
        UserError: a label is no class of the data.
    """
    wanted = facts["id"].map(verdicts.set_index("id")["label"])
    classes = set(facts["label"])
    unknown = sorted(set(wanted.dropna()) - classes - {""})
    if unknown:
        near = difflib.get_close_matches(unknown[0], classes, n=1)
        raise UserError(
            f"{PATH} holds the label {unknown[0]}, which is no class of the data"
            + (f": did you mean {near[0]}?" if near else f": they are {', '.join(sorted(classes)[:10])}")
        )
    changes = wanted.notna() & (wanted != "") & (wanted != facts["label"])
    label = facts["label"].mask(changes, wanted)
    return facts.assign(label=label), facts.index[wanted == ""].to_numpy(), int(changes.sum())
