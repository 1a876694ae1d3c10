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
    words, characters = ([lister(text) for text in values] for lister in (list_words, list_characters))
    of_words, of_characters = _look_up(words, kept, 0), _look_up(characters, kept, 1)
    rare = [
        np.mean([*(not of_words[word] for word in some), *(not of_characters[one] for one in others)] or [np.nan])
        for some, others in zip(words, characters, strict=True)
    ]
    return pd.DataFrame({"rare_words": rare}, dtype=np.float32)


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


def _look_up(found: list[list[str]], kept: np.ndarray, half: int) -> dict[str, bool]:
    """Look up whether the buckets of words (half 0) or characters (half 1) are kept."""
    distinct = list(dict.fromkeys(chain.from_iterable(found)))
    if not distinct:
        return {}
    # As a text of its own, each has a single n-gram in its half: itself.
    buckets = ngrams.hash_ngrams(distinct).indices
    return dict(zip(distinct, kept[buckets[buckets // ngrams.HALF == half]].tolist(), strict=True))
