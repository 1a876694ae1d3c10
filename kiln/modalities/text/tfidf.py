"""TF-IDF of texts (Salton and Buckley, "Term-weighting approaches in automatic text retrieval", 1988), as sparse rows.

The terms are the n-grams of ``ngrams``, and weigh what they weigh in networks (see ``layers``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack

from kiln.core import parallel
from kiln.modalities.text import shingles
from kiln.modalities.text.ngrams import BUCKETS, HALF, hash_ngrams

# N-grams of fewer texts are left out: they say nothing about other texts.
MIN_TEXTS = 2
# Texts to learn from for ``TextTerms``, and how many characters they have at most: some 400 MB of terms.
_TEXTS, _CHARACTERS = 50_000, 2**24


@dataclass(frozen=True)
class TfIdf:
    """Weights of the n-grams, fitted on texts.

    Attributes:
        column: int32 [BUCKETS], of each bucket; -1 if it is left out.
        idf: float32 [columns]: log((1 + texts) / (1 + texts with it)) + 1, as in scikit-learn.
        words: how many columns are of words; they stand before those of characters.
    """

    column: np.ndarray
    idf: np.ndarray
    words: int

    @classmethod
    def fit(cls, values, rows: np.ndarray, most: int = BUCKETS, longest: int | None = None) -> "TfIdf":
        """Count in how many texts each n-gram is.

        Args:
            values: strings [N]; may be spooled, and are read in batches.
            rows: those to fit on, integers [M].
            most: columns at most; the most frequent n-grams are kept.
            longest: what is beyond so many characters of a text is left out.
        """
        texts_with = np.zeros(BUCKETS, np.int64)
        for _, texts in shingles.batches(values, rows, longest):
            texts_with += np.bincount(hash_ngrams(texts).indices, minlength=BUCKETS)
        return cls.of(texts_with, len(rows), most)

    @classmethod
    def of(cls, texts_with: np.ndarray, count: int, most: int) -> "TfIdf":
        """Choose n-grams and weigh them.

        Args:
            texts_with: int64 [BUCKETS], in how many texts each is.
            count: of texts.
            most: columns at most; the most frequent n-grams are kept.
        """
        kept = np.flatnonzero(texts_with >= MIN_TEXTS)
        kept = np.sort(kept[np.argsort(-texts_with[kept], kind="stable")[:most]])
        column = np.full(BUCKETS, -1, np.int32)
        column[kept] = np.arange(len(kept))
        idf = np.log((1 + count) / (1 + texts_with[kept])) + 1
        return cls(column, idf.astype(np.float32), int((kept < HALF).sum()))

    def weigh(self, texts: Sequence[str]) -> csr_array:
        """Weigh the n-grams of texts: float32 [len(texts), columns], words and characters of length 1 each."""
        return self.apply(hash_ngrams(texts))

    def apply(self, found: csr_array) -> csr_array:
        """Weigh n-grams as ``hash_ngrams`` returns them."""
        columns = self.column[found.indices]
        used = columns >= 0
        ends = np.concatenate([[0], np.cumsum(used)])[found.indptr].astype(np.int32)
        columns, row = columns[used], np.repeat(np.arange(found.shape[0]), np.diff(ends))
        weights, half = self.idf[columns], 2 * row + (columns >= self.words)
        length = np.sqrt(np.bincount(half, weights * weights, minlength=2 * found.shape[0]))
        weights = (weights / length[half]).astype(np.float32)
        return csr_array((weights, columns, ends), shape=(found.shape[0], len(self.idf)))

    def stream(self, values, rows: np.ndarray, longest: int | None = None) -> Iterator[tuple[np.ndarray, csr_array]]:
        """Yield places in ``rows`` and the weighed texts there, so many at once that memory stays small."""
        batches = shingles.batches(values, rows, longest)
        return parallel.ordered_map(lambda batch: (batch[0], self.weigh(batch[1])), batches)


class TextTerms:
    """Terms of texts, weighed by a sample of them that stays in memory; the others are read when they are asked for.

    Args:
        values: strings [N]; may be spooled.
        rows: the texts, integers [M].
        order: places in ``rows`` to learn from, the most useful first.
        most: terms at most.
    """

    def __init__(self, values, rows: np.ndarray, order: np.ndarray, most: int):
        self._values, self._rows = values, rows
        self.learned = np.sort(order[: shingles.afford(values, rows[order], _TEXTS, _CHARACTERS)])
        found = vstack([csr_array((0, BUCKETS), dtype=np.float32), *self._hash(self.learned)], format="csr")
        texts_with = np.bincount(found.indices, minlength=BUCKETS)
        self._tfidf = TfIdf.of(texts_with, len(self.learned), most)
        self._sample = self._tfidf.apply(found)
        self._place = np.full(len(rows), -1)
        self._place[self.learned] = np.arange(len(self.learned))

    def weigh(self, rows: np.ndarray) -> csr_array:
        """Weigh texts by their places in ``rows``: float32 [len(rows), terms]."""
        if (self._place[rows] >= 0).all():
            return self._sample[self._place[rows]]
        return vstack([self._tfidf.apply(found) for found in self._hash(rows)], format="csr")

    def _hash(self, rows: np.ndarray) -> Iterator[csr_array]:
        batches = shingles.batches(self._values, self._rows[rows], shingles.LONGEST)
        return parallel.ordered_map(lambda batch: hash_ngrams(batch[1]), batches)
