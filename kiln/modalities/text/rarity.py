"""How rare a text's words are in the training texts."""

import re
from itertools import chain

import numpy as np
import pandas as pd

from kiln.modalities.text import ngrams, pieces

# measure -> (title, name of the lowest slice, of the highest)
SLICES = {"rare_words": ("share of words that train hardly has", "fewest", "most")}
_LETTERS = re.compile(r"\w+")


def measure(values: np.ndarray, fitted: dict) -> pd.DataFrame:
    """Measure texts against train.

    Args:
        values: strings [N].
        fitted: of ``normalizer.fit``, which knows in which buckets n-grams fall that enough training texts have.

    Returns:
        One row per text, float32: rare_words (the fraction of its words that fewer training texts have than
        normalize.min_texts, or that are beyond max_ngrams; in scripts without spaces, of its characters; NaN
        without any). A rare word that shares its bucket with a frequent n-gram is not found: about one in ten
        where 50,000 n-grams of words are kept.
    """
    kept = np.zeros(ngrams.BUCKETS, bool)
    kept[fitted["buckets"]] = True
    known, total = np.zeros(len(values)), np.zeros(len(values))
    for listed, find in ((list_words, ngrams.find_word), (list_characters, ngrams.find_character)):
        found = [listed(text) for text in values]
        text = np.repeat(np.arange(len(values)), [len(one) for one in found])
        known += np.bincount(text, kept[find(list(chain.from_iterable(found)))], len(values))
        total += np.bincount(text, minlength=len(values))
    with np.errstate(invalid="ignore"):
        return pd.DataFrame({"rare_words": 1 - known / total}, dtype=np.float32)


def list_words(text: str) -> list[str]:
    """List the words of scripts with spaces, as the n-grams have them."""
    split, _ = pieces.split(text.lower())
    return [word for piece in split if not _stands_alone(piece) for word in _LETTERS.findall(piece)]


def list_characters(text: str) -> list[str]:
    """List the letters of scripts without spaces."""
    split, _ = pieces.split(text.lower())
    return [piece for piece in split if _stands_alone(piece) and _LETTERS.match(piece)]


def _stands_alone(piece: str) -> bool:
    return pieces.is_spaceless([piece])
