"""TF-IDF of texts (Salton and Buckley, "Term-weighting approaches in automatic text retrieval", 1988), as sparse rows.

The terms are the n-grams of ``ngrams``, and weigh what they weigh in networks (see ``layers``).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from kiln.core import parallel
from kiln.modalities.text import shingles
from kiln.modalities.text.ngrams import BUCKETS, HALF, hash_ngrams

# N-grams of fewer texts are left out: they say nothing about other texts.
MIN_TEXTS = 2


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
    def fit(cls, values, rows: np.ndarray) -> "TfIdf":
        """Count in how many texts each n-gram is.

        Args:
            values: strings [N]; may be spooled, and are read in batches.
            rows: those to fit on, integers [M].
        """
        texts_with = np.zeros(BUCKETS, np.int64)
        for _, texts in shingles.batches(values, rows):
            texts_with += np.bincount(hash_ngrams(texts).indices, minlength=BUCKETS)
        kept = np.flatnonzero(texts_with >= MIN_TEXTS)
        column = np.full(BUCKETS, -1, np.int32)
        column[kept] = np.arange(len(kept))
        idf = np.log((1 + len(rows)) / (1 + texts_with[kept])) + 1
        return cls(column, idf.astype(np.float32), int((kept < HALF).sum()))

    def weigh(self, texts: list[str]) -> csr_array:
        """Weigh the n-grams of texts: float32 [len(texts), columns], words and characters of length 1 each."""
        found = hash_ngrams(texts)
        columns = self.column[found.indices]
        used = columns >= 0
        ends = np.concatenate([[0], np.cumsum(used)])[found.indptr].astype(np.int32)
        columns, row = columns[used], np.repeat(np.arange(len(texts)), np.diff(ends))
        weights, half = self.idf[columns], 2 * row + (columns >= self.words)
        length = np.sqrt(np.bincount(half, weights * weights, minlength=2 * len(texts)))
        return csr_array(
            ((weights / length[half]).astype(np.float32), columns, ends), shape=(len(texts), len(self.idf))
        )

    def stream(self, values, rows: np.ndarray) -> Iterator[tuple[np.ndarray, csr_array]]:
        """Yield places in ``rows`` and the weighed texts there, so many at once that memory stays small."""
        batches = shingles.batches(values, rows)
        return parallel.ordered_map(lambda batch: (batch[0], self.weigh(batch[1])), batches)
