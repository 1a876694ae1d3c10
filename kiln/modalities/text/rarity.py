"""How rare a text's words are in the training texts."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from kiln.modalities.text import normalizer, pieces

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
        without any). A rare word that shares its bucket with a frequent one is not found: about one in five
        where 100,000 n-grams are kept.
    """
    kept = np.zeros(normalizer.BUCKETS, np.float32)
    kept[fitted["buckets"]] = 1
    words, characters = np.split(kept, 2)
    known, total = np.zeros(len(values)), np.zeros(len(values))
    for buckets, analyze in ((words, list_words), (characters, list_characters)):
        table = _count(values, analyze)
        known += table @ buckets
        total += table.sum(axis=1)
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


def _count(values: np.ndarray, analyze: Callable[[str], list[str]]):
    """Count by the hash of ``normalizer``: sparse, float32 [N, BUCKETS / 2]."""
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import HashingVectorizer

    options = {"n_features": normalizer.BUCKETS // 2, "alternate_sign": False, "norm": None, "dtype": np.float32}
    return csr_array(HashingVectorizer(analyzer=analyze, **options).transform(values))
