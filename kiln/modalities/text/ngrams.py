"""Runs of words and of characters, hashed into buckets: the same n-grams for networks and for linear models."""

import re
from collections.abc import Sequence

import numpy as np
from pandas.util import hash_array
from scipy.sparse import csr_array

from kiln.core import randomness
from kiln.modalities.text import pieces

BUCKETS = 2**20
# Words in one half, characters in the other, so that frequent letters do not share buckets with rare words.
HALF = BUCKETS // 2
WORDS, CHARACTERS = 3, 5  # in a run at most
# Words, signs, and the characters of scripts without spaces, whose runs are what words are elsewhere.
WORD = re.compile(rf"[{pieces.SPACELESS}]|[^\W{pieces.SPACELESS}]+|[^\w\s]")
_BLANKS = re.compile(r"\s\s+")


def hash_ngrams(texts: Sequence[str]) -> csr_array:
    """Find the n-grams of texts, in lower case: float32 [N, BUCKETS], 1 where a text has one of a bucket."""
    texts = [text.lower() for text in texts]
    words = [WORD.findall(text) for text in texts]
    characters = "".join(texts := [_BLANKS.sub(" ", text) for text in texts])
    hashed = _hash([word for found in words for word in found])
    points = np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    keys = [
        *_runs(hashed, np.array([len(found) for found in words], np.int64), WORDS, 0),
        *_runs(points, np.array([len(text) for text in texts], np.int64), CHARACTERS, HALF),
    ]
    keys = np.concatenate(keys)
    keys.sort()  # with a mask several times as fast as SciPy, which would sum up entries of a coordinate list
    keys = keys[np.diff(keys, prepend=-1) > 0]
    ends = np.searchsorted(keys, np.arange(len(texts) + 1) * BUCKETS).astype(np.int32)
    found = np.ones(len(keys), np.float32), (keys % BUCKETS).astype(np.int32), ends
    return csr_array(found, shape=(len(texts), BUCKETS))


def find_word(words: Sequence[str]) -> np.ndarray:
    """Return the bucket of each single word, in lower case: int64 [N]."""
    return (randomness.key(_hash(words)) % np.uint64(HALF)).astype(np.int64)


def find_character(characters: Sequence[str]) -> np.ndarray:
    """Return the bucket of each single character, in lower case: int64 [N]."""
    points = np.array([ord(character) for character in characters], np.uint64)
    return HALF + (randomness.key(points) % np.uint64(HALF)).astype(np.int64)


def _hash(words: Sequence[str]) -> np.ndarray:
    return hash_array(np.array(words, object), categorize=True)


def _runs(hashes: np.ndarray, counts: np.ndarray, longest: int, first: int) -> list[np.ndarray]:
    """Hash all runs within texts.

    Args:
        hashes: uint64 [S], of all texts' words or characters, one text after the other.
        counts: int64 [N], how many each text has.
        longest: length of the longest runs.
        first: bucket of their half.

    Returns:
        For each length, number of the text * BUCKETS + bucket.
    """
    text = np.repeat(np.arange(len(counts)) * BUCKETS + first, counts)
    runs, keys = randomness.key(hashes), []
    for length in range(1, longest + 1):
        inside = text[: len(runs)] == text[length - 1 :]
        keys.append((text[: len(runs)] + (runs % np.uint64(HALF)).astype(np.int64))[inside])
        runs = randomness.key(runs[:-1], hashes[length:])
    return keys
