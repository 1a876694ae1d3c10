"""Near-duplicates: texts that share most of their runs of five characters.

Candidates share a band of their MinHash signatures (Broder, "On the resemblance and
containment of documents", 1997; Leskovec, Rajaraman and Ullman, "Mining of massive
datasets", chapter 3), and are verified by the exact Jaccard index of their runs, without punctuation.
"""

import hashlib
import re

import numpy as np
import pandas as pd
from rensa import RMinHash
from scipy.sparse import csr_array

from kiln.core import parallel
from kiln.core.components import components
from kiln.modalities.base import Copies
from kiln.modalities.text import shingles
from kiln.params.text import Clean

# Below it, the meaning changes: "highest mountain" and "fourth highest mountain" have 0.7.
BORDER = 0.8
RUN = 5
# What is beyond so many characters is compared by equality alone.
LONGEST = 50_000
_PUNCTUATION = re.compile(r"[^\w\s]")
# Of each hash of a signature, one byte: four of them are a band. Two texts of index 0.8 share a band with a
# probability of 1 - (1 - 0.8**4)**32, all but 1 in 20 million.
_HASHES, _BAND = 128, 4
# In a band, each text is compared with so many that follow it: all of it, unless the texts share a long beginning.
_WINDOW = 16
# How far a signature may underestimate: three standard deviations at ``BORDER``.
_SLACK = 0.11
_ESTIMATED = 100_000
# About how many characters of pairs are verified at once.
_VERIFIED = 1_000_000


def comparable(facts: pd.DataFrame) -> np.ndarray:
    """Mark the texts to compare, bool [N]: all that were decoded; short ones are copies only if they are equal."""
    return facts["characters"].notna().to_numpy()


def find(values, rows: np.ndarray, seed: int, settings: Clean) -> Copies:
    """Find pairs of copies.

    Args:
        values: strings [N]; may be spooled, and are read in batches.
        rows: the rows to search, integers, ascending.
        seed: of the hashes.
        settings: the text's settings of clean.

    Returns:
        Pairs with their Jaccard index; 1 for texts that are equal once they are normalised.
    """
    border = BORDER if settings.near_duplicate_score == "auto" else settings.near_duplicate_score
    sketched = _sketch(values, rows, seed)
    _, first, inverse = np.unique(sketched.prints, return_index=True, return_inverse=True)
    original, places = first[inverse], np.arange(len(rows))
    equal = original != places
    search = _Search(values, rows, np.sort(first), sketched, border)
    search.run()
    one, other, score = search.found()
    pairs = pd.DataFrame(
        {
            "first": rows[np.concatenate([original[equal], one])],
            "second": rows[np.concatenate([places[equal], other])],
            "score": np.concatenate([np.ones(equal.sum()), score]),
        }
    )
    return Copies(pairs.sort_values(["first", "second"], ignore_index=True), border)


class _Sketches:
    """What is kept of each text: some 140 bytes.

    Attributes:
        prints: uint64 [N], equal for equal normalised texts.
        lengths: int64 [N], characters that are compared.
        signatures: uint8 [N, 128].
    """

    def __init__(self, count: int):
        self.prints, self.lengths = np.empty(count, np.uint64), np.empty(count, np.int64)
        self.signatures = np.empty((count, _HASHES), np.uint8)


def _sketch(values, rows: np.ndarray, seed: int) -> _Sketches:
    def compute(batch: tuple[np.ndarray, list[str]]) -> tuple:
        places, texts = batch
        texts = [shingles.normalize(text) for text in texts]
        prints = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
        texts = [bare(text) for text in texts]
        hashes, ends = shingles.hash_runs(texts, RUN)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, ends.astype(np.uint64), _HASHES, seed)
        signatures = np.array(matrix.to_rows(), np.uint32).astype(np.uint8)
        return places, np.frombuffer(b"".join(prints), np.uint64), [len(text) for text in texts], signatures

    sketches = _Sketches(len(rows))
    for places, prints, lengths, signatures in parallel.ordered_map(compute, shingles.batches(values, rows)):
        sketches.prints[places], sketches.lengths[places] = prints, lengths
        sketches.signatures[places] = signatures
    return sketches


def bare(text: str) -> str:
    """Leave out punctuation, which short copies often differ in; of a text without a word, nothing."""
    return (" ".join(_PUNCTUATION.sub("", text).split()) or text)[:LONGEST]


class _Search:
    """Search for pairs among distinct texts, band by band; texts that are connected already are not compared again.

    Args:
        values, rows: as for ``find``.
        places: of the distinct texts in ``rows``.
        sketches: of ``rows``.
        border: least score of a copy.
    """

    def __init__(self, values, rows: np.ndarray, places: np.ndarray, sketches: _Sketches, border: float):
        self.values, self.rows, self.places, self.border = values, rows[places], places, border
        self.signatures, self.lengths = sketches.signatures, sketches.lengths[places]
        self.crowd, self.compared = np.arange(len(places)), np.empty(0, np.int64)
        self.copies = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]

    def run(self) -> None:
        """Search all bands."""
        bands = self.signatures.view(np.uint32)
        for band in range(bands.shape[1]):
            # Within a band by the next one, so that neighbours are most alike.
            own, following = (bands[self.places, number % bands.shape[1]] for number in (band, band + 1))
            order = np.argsort(own.astype(np.uint64) << np.uint64(32) | following, kind="stable")
            own = own[order]
            for step in range(1, _WINDOW + 1):
                near = np.flatnonzero(own[:-step] == own[step:])
                if not len(near):
                    break
                self._compare(order[near], order[near + step])

    def found(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return first, second and score of all pairs, as places in the original rows."""
        first, second, score = (np.concatenate(parts) for parts in zip(*self.copies, strict=True))
        return self.places[first], self.places[second], score

    def _compare(self, one: np.ndarray, other: np.ndarray) -> None:
        apart = self.crowd[one] != self.crowd[other]
        first, second = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
        likely = self._estimate(first, second) >= self.border - _SLACK
        pairs = np.setdiff1d(first[likely] * len(self.rows) + second[likely], self.compared)
        if not len(pairs):
            return
        self.compared = np.union1d(self.compared, pairs)
        first, second = np.divmod(pairs, len(self.rows))
        score = self._verify(first, second)
        same = score >= self.border
        if same.any():
            self.copies.append((first[same], second[same], score[same]))
            joined = [np.concatenate(parts) for parts in zip(*self.copies, strict=True)]
            self.crowd = components(len(self.rows), joined[0], joined[1])

    def _estimate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Estimate the Jaccard index of pairs by their signatures: float [P]."""
        first, second, estimates = self.places[first], self.places[second], np.empty(len(first))
        for start in range(0, len(first), _ESTIMATED):
            part = slice(start, start + _ESTIMATED)
            estimates[part] = (self.signatures[first[part]] == self.signatures[second[part]]).mean(axis=1)
        return estimates

    def _verify(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Compute the Jaccard index of pairs, sorted by ``first``: float [P]."""
        part = np.cumsum(self.lengths[first] + self.lengths[second] + RUN) // _VERIFIED
        chunks = np.split(np.arange(len(first)), np.flatnonzero(np.diff(part)) + 1)

        def verify(chunk: np.ndarray) -> np.ndarray:
            places, number = np.unique(np.concatenate([first[chunk], second[chunk]]), return_inverse=True)
            texts = [bare(shingles.normalize(text)) for text in self.values[self.rows[places]]]
            return jaccard(texts, *np.split(number, 2))

        return np.concatenate(list(parallel.ordered_map(verify, chunks)))


def jaccard(texts: list[str], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the Jaccard index of the runs of pairs of texts: what they share of what either has, float [P]."""
    hashes, ends = shingles.hash_runs(texts, RUN)
    known, column = np.unique(hashes, return_inverse=True)
    runs = csr_array((np.ones(len(column), np.int32), column, ends), shape=(len(texts), len(known)))
    runs.sum_duplicates()
    runs.data[:] = 1
    shared = runs[first].multiply(runs[second]).sum(axis=1)
    sizes = np.diff(runs.indptr)
    return shared / (sizes[first] + sizes[second] - shared)
