"""Near-duplicates: copies of one picture, shifted, mirrored, cropped, rescaled, relit or re-encoded.

Candidates are nearest neighbours by small features. A pair are copies if nearly no
difference remains once brightness and contrast are matched; otherwise the two are
aligned and their fine structure is compared. The threshold depends on the dataset:
where all images show similar objects, pairs that are not copies are similar too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from kiln.core import parallel, randomness
from kiln.core.components import components
from kiln.modalities.base import Copies
from kiln.modalities.image import alignment, features

SMALLEST = 16
NEIGHBOURS = 8
# Where all images are similar, a copy is not always among the nearest.
_ALIKE_NEIGHBOURS = 32
# Larger crowds of copies are still connected through their members' neighbours.
_MOST_NEIGHBOURS = 1024
_LIST, _PROBES = 256, 16
_QUERIES = 4096
_PAIRS = 1024
# Least likeness for a closer comparison: in general, and where all images are similar.
_LIKELY, _ALIKE_LIKELY = 0.4, 0.33
# Limits of the learned border (see ``_Rule``). Below the first, pairs of CIFAR-10
# with different labels are reported; above the other, copies that JPEG has coarsened
# are missed.
_LEAST, _MOST = 0.65, 0.9
# All images of a set are similar if the median of random pairs is above this: it is
# 0.16 on CIFAR-10 (0.18 on its airplanes alone), and 0.24 on photographs of hands in
# front of one wall, with 100 images as with 2,000.
_ALIKE = 0.22
# How well parts of the images must agree: the flattest and worst, chosen on the same
# sets (not required of pairs above ``_MOST``); and where all images are similar, every
# strong part, since such images differ in a detail: the height of a bar, a finger.
_IN_WORST, _IN_STRONG = 0.3, 0.8
# There the images themselves must agree too, by a border that is learned within these
# limits: each photograph has its own light and background.
_LEAST_AS_IS, _MOST_AS_IS = 0.98, 0.996
# How much copies may differ once light is matched, as a share of their contrast: pairs
# as they are (JPEG of quality 50 leaves up to 0.22; the closest pairs of seven sets of
# similar images 0.32 and more), and aligned pairs, where strokes of similar objects may
# coincide. Or, with equal light within a few gray levels, by an invisible difference:
# the rule for nearly flat images, whose fine structure is noise.
_REST, _REST_LAID = 0.25, 0.1
_UNSEEN, _SAME_LIGHT = 2, 5
_USUAL = 1000
_DEVIATIONS = 6


def find(pixels: np.ndarray, usable: np.ndarray, seed: int, border: float | None = None) -> Copies:
    """Find pairs of copies.

    Each image is compared with its eight nearest, or its 32 nearest if all images
    of the set are similar; if half of them or more are copies of it, with twice as
    many, and so on. So crowds of copies are found completely.

    Args:
        pixels: uint8 [N, H, W, C]; may be a memory map, and is read in batches.
        usable: the rows to search, integers.
        seed: of the samples from which filters, index and border are learned.
        border: lowest score of a copy; by default it is learned from the set, and
            further evidence is required.

    Returns:
        The pairs of copies; none if the images are below 16 pixels, where all look similar.
    """
    count = len(usable)
    if min(pixels.shape[1:3]) < SMALLEST or count < 2:
        pairs = pd.DataFrame({"first": np.empty(0, np.int64), "second": np.empty(0, np.int64), "score": np.empty(0)})
        return Copies(pairs, border or _LEAST)
    generator = randomness.generator(seed, "copies")
    small = features.fit(pixels, usable, features.SMALL, generator).transform(pixels, usable).astype(np.float32)
    index = _index(small, generator)
    judge = _Judge(pixels, usable)
    asked, most, crowd = np.arange(count), NEIGHBOURS, np.arange(count)
    known, scored = np.empty(0, np.int64), []
    while len(asked):
        near = _nearest(index, small, asked, most)
        pairs = _pairs(asked, near, count)
        if not known.size:
            rule = _learn(judge, _random_pairs(count, generator), _sample(pairs, generator), border)
        # Skip pairs that are in one crowd already, and pairs that were compared before.
        new = np.setdiff1d(pairs, known, assume_unique=True)
        new = new[crowd[new // count] != crowd[new % count]]
        known = np.union1d(known, new)
        scores = judge.scores(new, rule)
        same = scores > 0
        scored.append(np.column_stack([new[same], scores[same]]))
        joined = np.concatenate([part[:, 0] for part in scored]).astype(np.int64)
        crowd = components(count, joined // count, joined % count)
        copied = (near >= 0) & (near != asked[:, None]) & (crowd[near] == crowd[asked][:, None])
        others = (near >= 0).sum(axis=1) - 1
        again = (2 * copied.sum(axis=1) >= others) | (rule.alike and most < _ALIKE_NEIGHBOURS)
        again &= others == most
        asked, most = asked[again & (most < _MOST_NEIGHBOURS)], 2 * most
    scored = np.concatenate(scored)
    code, score = scored[:, 0].astype(np.int64), scored[:, 1]
    order = np.argsort(code)
    code, score = code[order], score[order]
    pairs = pd.DataFrame({"first": usable[code // count], "second": usable[code % count], "score": score})
    return Copies(pairs, rule.border)


def _index(small: np.ndarray, generator: np.random.Generator) -> faiss.Index:
    """Build an index of lists of about 256 images; a query reads 16 lists, so the cost is nearly linear."""
    count, width = small.shape
    lists = max(1, count // _LIST)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = 8
    index.cp.min_points_per_centroid = 1
    index.train(small[np.sort(generator.choice(count, min(count, 64 * lists), replace=False))])
    index.add(small)
    index.nprobe = _PROBES
    return index


def _nearest(index: faiss.Index, small: np.ndarray, asked: np.ndarray, most: int) -> np.ndarray:
    """Find the nearest of some images, including themselves: places, -1 if there are fewer, [A, most + 1]."""
    parts = [asked[start : start + _QUERIES] for start in range(0, len(asked), _QUERIES)]
    return np.concatenate([index.search(small[part], most + 1)[1] for part in parts])


def _pairs(asked: np.ndarray, near: np.ndarray, count: int) -> np.ndarray:
    """List unique pairs, encoded as lower place * count + higher place, sorted: int64 [P]."""
    one = np.repeat(asked, near.shape[1])
    other = near.ravel()
    real = (other >= 0) & (other != one)
    return np.unique(np.minimum(one, other)[real] * count + np.maximum(one, other)[real])


def _random_pairs(count: int, generator: np.random.Generator) -> np.ndarray:
    one, other = generator.integers(0, count, (2, _USUAL))
    return _pairs(one, other[:, None], count)


def _sample(pairs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.sort(generator.choice(pairs, min(_USUAL, len(pairs)), replace=False))


@dataclass(frozen=True)
class _Rule:
    """When a pair are copies.

    Attributes:
        border: lowest correlation of fine structure.
        as_is: lowest correlation of the images themselves, if all images are similar.
        alike: whether all images of the set are similar.
        given: whether the user sets the border; then no further evidence is required.
    """

    border: float
    as_is: float
    alike: bool
    given: bool

    def same(self, remainders: np.ndarray, rest: float, slack: float = 1) -> np.ndarray:
        """Judge pairs by their difference, ``alignment.remainder``: bool [P].

        Args:
            remainders: [4, P].
            rest: largest difference, as a share of contrast.
            slack: factor on the allowed difference, for small images.
        """
        correlation, share, levels, light = remainders
        unseen = (levels <= slack * _UNSEEN) & (light <= _SAME_LIGHT) & (not self.alike)
        return (correlation >= self.border / slack) & ((share <= slack * rest) | unseen)

    def holds(self, agreements: np.ndarray) -> np.ndarray:
        """Judge aligned pairs, by ``alignment.agreement``: bool [P]."""
        whole, worst, strong, as_is = agreements[:4]
        proven = (strong >= _IN_STRONG) & (as_is >= self.as_is)
        if not self.alike:
            proven = (worst >= _IN_WORST) | (whole >= _MOST)
        return ((whole >= self.border) & (proven | self.given)) | self.same(agreements[3:], _REST_LAID)


def _learn(judge: "_Judge", random: np.ndarray, near: np.ndarray, border: float | None) -> _Rule:
    """Learn the thresholds from pairs that, with few exceptions, are not copies.

    Args:
        judge: compares pairs of the set.
        random: random pairs, encoded; they show whether all images are similar.
        near: pairs of neighbours; if all images are similar, they show how much.
        border: the user's, or None.
    """
    alike = bool(np.median(judge.agreements(random, judge.side)[0]) > _ALIKE)
    learned, as_is = _LEAST, _LEAST_AS_IS
    if alike:
        whole, _, _, same = judge.agreements(near, judge.side)[:4]
        learned = float(np.clip(_above(whole[whole < _MOST]), _LEAST, _MOST))
        as_is = float(np.clip(_above(same), _LEAST_AS_IS, _MOST_AS_IS))
    return _Rule(border or learned, as_is, alike, border is not None)


def _above(usual: np.ndarray) -> float:
    """Set a border above the usual values.

    It is derived from the median and the spread below it, on Fisher's scale
    (artanh), where the spread of a correlation hardly depends on its value. Copies
    are above the median and hardly affect either.
    """
    if not len(usual):
        return 1.0
    middle, below = np.quantile(np.arctanh(np.clip(usual, -0.999, 0.999)), [0.5, 0.25])
    return float(np.tanh(middle + _DEVIATIONS * (middle - below) / 0.6745))


class _Judge:
    """Compares pairs of places in the usable rows."""

    def __init__(self, pixels: np.ndarray, usable: np.ndarray):
        self.pixels, self.usable = pixels, usable
        self.side = alignment.side(pixels.shape[1:])
        parts = [usable[start : start + _PAIRS] for start in range(0, len(usable), _PAIRS)]
        small = parallel.ordered_map(lambda rows: alignment.thumbnails(pixels, rows), parts)
        self.thumbnails = np.concatenate(list(small))

    def scores(self, pairs: np.ndarray, rule: _Rule) -> np.ndarray:
        """Score encoded pairs: float [P]; 0 for pairs that are not copies."""

        def look(part: np.ndarray) -> np.ndarray:
            sides = [self.thumbnails[places] for places in np.divmod(part, len(self.usable))]
            likely = alignment.likeness(*sides) >= (_ALIKE_LIKELY if rule.alike else _LIKELY)
            return likely | rule.same(alignment.remainder(*sides), _REST, slack=2)

        left = np.flatnonzero(self._mapped(look, pairs, _PAIRS, np.empty(0, bool)))
        scores = np.zeros(len(pairs))
        # Finer comparisons cost more: most pairs can be told apart at 32 pixels.
        rests = self._compared(alignment.remainder, pairs[left], alignment.side((0,)), 4)
        same = rule.same(rests, _REST)
        scores[left[same]] = rests[0, same]
        left = left[~same]
        for side in sorted({alignment.side((0,)), self.side}):
            agreed = self.agreements(pairs[left], side)
            same = (agreed[0] >= min(rule.border, _LEAST)) | rule.same(agreed[3:], _REST_LAID)
            left, agreed = left[same], agreed[:, same]
        same = rule.holds(agreed)
        scores[left[same]] = np.maximum(agreed[0], np.where(rule.same(agreed[3:], _REST_LAID), agreed[3], 0))[same]
        return scores

    def agreements(self, pairs: np.ndarray, side: int) -> np.ndarray:
        """Compute ``alignment.agreement`` of pairs at a side: [7, P]."""
        return self._compared(alignment.agreement, pairs, side, 7)

    def _compared(self, function: Callable[..., np.ndarray], pairs: np.ndarray, side: int, rows: int) -> np.ndarray:
        """Compare pairs at a side by a function that returns [rows, P]."""

        def compare(part: np.ndarray) -> np.ndarray:
            sides = (self.usable[places] for places in np.divmod(part, len(self.usable)))
            return function(*(alignment.working(self.pixels, rows, side) for rows in sides)).T

        return self._mapped(compare, pairs, _PAIRS * 32 * 32 // side**2, np.empty((0, rows))).T

    @staticmethod
    def _mapped(function, pairs: np.ndarray, at_once: int, nothing: np.ndarray) -> np.ndarray:
        parts = [pairs[start : start + at_once] for start in range(0, len(pairs), at_once)]
        # One thread per part is faster than many in each small matrix product.
        with threadpool_limits(1):
            return np.concatenate([nothing, *parallel.ordered_map(function, parts)])
