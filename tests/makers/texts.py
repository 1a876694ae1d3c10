"""A few texts, seeded ones, and what is fitted to them."""

import csv
from pathlib import Path

import numpy as np

from kiln.modalities.base import Part
from kiln.modalities.text import normalizer
from kiln.modalities.text.conversion import Conversion
from kiln.params.text import Normalize

TEXTS = ("the cat sat on the mat", "the dog sat", "a cat and a dog", "The mat, the cat!", "北京的天气", "北京的猫")
_VOCABULARY = (
    "able back call dark each fact game hand idea just keep land main name only part quite rain said take under very "
    "want year zone about below cause drive eight force given house issue joint known large money never order place"
)
WORDS = _VOCABULARY.split()
PERSONAL = ("anna.berg@post.example", "+49 30 9017 2231", "4111 1111 1111 1111")  # each found by a pattern


def prose(seed: int, words: int = 20) -> str:
    """Seeded words."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


def write_reviews(path: Path, count: int = 90) -> None:
    """Write a table of seeded texts of two classes, each with personal data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label"))
        for number in range(count):
            word, label = (("good", "praise"), ("bad", "blame"))[number % 2]
            rows.writerow((f"{prose(number, 8)} {word} {prose(number + count, 8)} {PERSONAL[number % 3]}", label))


def as_array(texts) -> np.ndarray:
    """Strings as a part holds them: object [N]."""
    values = np.empty(len(texts), object)
    values[:] = list(texts)
    return values


def text_parts(**fields) -> dict[str, Part]:
    """One part of modality text."""
    from kiln.modalities.text.modality import Text

    return {"text": Part("text", Text(), Conversion(**{"bytes": 100, **fields}))}


def fitted(values=TEXTS, **changes) -> dict:
    """The normaliser of some texts."""
    settings = Normalize(**{"vocabulary": 512, "min_texts": 1, "max_tokens": 32, **changes})
    return normalizer.fit(normalizer.count(np.array(values, object)), settings)
