"""Near-duplicates: images that show the same picture, shifted, mirrored, cropped, rescaled, relit or re-encoded.

Candidates are neighbours in small features. A pair is one of copies where nearly
nothing of the images is left once their light is made equal; else one is laid on
the other and their fine structure compared. How alike that must be depends on the
set: where all images show like things, pairs that are no copies are alike too.
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
# Where all images are alike a copy is not always among the nearest.
_ALIKE_NEIGHBOURS = 32
# Where crowds of copies are larger, a copy's neighbours still lead from one to the next.
_MOST_NEIGHBOURS = 1024
_LIST, _PROBES = 256, 16
_QUERIES = 4096
_PAIRS = 1024
# By the first look, pairs that are worth a second: in any set, and where all images are alike.
_LIKELY, _ALIKE_LIKELY = 0.4, 0.33
# The border is never set below or above these (see ``_Rule``). Below the first,
# pairs of CIFAR-10 with different labels are found; above the other, copies that
# JPEG has coarsened are lost.
_LEAST, _MOST = 0.65, 0.9
# All images of a set are alike where the median of random pairs is above this: it is
# 0.16 on CIFAR-10 (0.18 on its airplanes alone), and 0.24 on photographs of hands
# before one wall, with 100 images as with 2,000.
_ALIKE = 0.22
# How much parts of the images must agree: their flattest and worst, chosen there too
# (not asked of pairs above the latter); and where all images are alike, every strong
# one, since such images differ in a detail: the height of a bar, the place of a finger.
_IN_WORST, _IN_STRONG = 0.3, 0.8
# There the images as they are must agree too, by a border that is learned likewise
# between these: each photograph has its light and its background.
_LEAST_AS_IS, _MOST_AS_IS = 0.98, 0.996
# What may be left of copies once light is made equal: as a share of their contrast,
# of pairs as they lie (JPEG of quality 50 leaves up to 0.22, while the closest of
# seven alike sets leave 0.32 and more) and of pairs laid on each other, where strokes
# of like things may meet. Or, with light the same within a few gray levels, no more
# than nobody sees: so nearly flat images are judged, whose fine structure is noise.
_REST, _REST_LAID = 0.25, 0.1
_UNSEEN, _SAME_LIGHT = 2, 5
_USUAL = 1000
_DEVIATIONS = 6


def find(pixels: np.ndarray, usable: np.ndarray, seed: int, border: float | None = None) -> Copies:
    """Find pairs of images that show the same.

    Each image is compared with its eight nearest, or its 32 nearest where all
    images of the set are alike; where half of them or more turn out to be its
    copies, with twice as many, until that ends. So crowds of copies are found whole.

    Args:
        pixels: uint8 [N, H, W, C]; may be a memory map, and is read in batches.
        usable: the rows to search among, integers.
        seed: of the samples that filters, index and border are learned from.
        border: the least score of a copy; by default it is learned from the set, and
            further proof is asked for.

    Returns:
        No pairs where the images are below 16 pixels: such look alike by nature.
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
    known, found = np.empty(0, np.int64), []
    while len(asked):
        near = _nearest(index, small, asked, most)
        pairs = _pairs(asked, near, count)
        if not known.size:
            rule = _learn(judge, _strewn(count, generator), _drawn(pairs, generator), border)
        # What is in one crowd already needs no proof; what was compared before, no second.
        new = np.setdiff1d(pairs, known, assume_unique=True)
        new = new[crowd[new // count] != crowd[new % count]]
        known = np.union1d(known, new)
        scores = judge.scores(new, rule)
        same = scores > 0
        found.append(np.column_stack([new[same], scores[same]]))
        joined = np.concatenate([part[:, 0] for part in found]).astype(np.int64)
        crowd = components(count, joined // count, joined % count)
        copied = (near >= 0) & (near != asked[:, None]) & (crowd[near] == crowd[asked][:, None])
        others = (near >= 0).sum(axis=1) - 1
        again = (2 * copied.sum(axis=1) >= others) | (rule.alike and most < _ALIKE_NEIGHBOURS)
        again &= others == most
        asked, most = asked[again & (most < _MOST_NEIGHBOURS)], 2 * most
    found = np.concatenate(found)
    code, score = found[:, 0].astype(np.int64), found[:, 1]
    order = np.argsort(code)
    code, score = code[order], score[order]
    pairs = pd.DataFrame({"first": usable[code // count], "second": usable[code % count], "score": score})
    return Copies(pairs, rule.border)


def _index(small: np.ndarray, generator: np.random.Generator) -> faiss.Index:
    """Make lists of some 256 images, of which a query reads 16: the search grows little faster than the images."""
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
    """Find the nearest of some images, themselves among them: places, -1 where there are no more, [A, most + 1]."""
    parts = [asked[start : start + _QUERIES] for start in range(0, len(asked), _QUERIES)]
    return np.concatenate([index.search(small[part], most + 1)[1] for part in parts])


def _pairs(asked: np.ndarray, near: np.ndarray, count: int) -> np.ndarray:
    """List unique pairs as numbers, lower place * count + higher place, sorted: int64 [P]."""
    one = np.repeat(asked, near.shape[1])
    other = near.ravel()
    real = (other >= 0) & (other != one)
    return np.unique(np.minimum(one, other)[real] * count + np.maximum(one, other)[real])


def _strewn(count: int, generator: np.random.Generator) -> np.ndarray:
    one, other = generator.integers(0, count, (2, _USUAL))
    return _pairs(one, other[:, None], count)


def _drawn(pairs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.sort(generator.choice(pairs, min(_USUAL, len(pairs)), replace=False))


@dataclass(frozen=True)
class _Rule:
    """When a pair is one of copies.

    Attributes:
        border: the least correlation of fine structure.
        as_is: the least correlation of the images as they are, where all images are alike.
        alike: whether all images of the set are alike.
        given: whether the border is the user's, who needs no further proof.
    """

    border: float
    as_is: float
    alike: bool
    given: bool

    def same(self, remainders: np.ndarray, rest: float, slack: float = 1) -> np.ndarray:
        """Judge pairs by what is left of them, ``alignment.remainder``: bool [P].

        Args:
            remainders: [4, P].
            rest: the most that may be left, as a share of contrast.
            slack: how many times as much may be left, as in small images.
        """
        correlation, share, levels, light = remainders
        unseen = (levels <= slack * _UNSEEN) & (light <= _SAME_LIGHT) & (not self.alike)
        return (correlation >= self.border / slack) & ((share <= slack * rest) | unseen)

    def holds(self, agreements: np.ndarray) -> np.ndarray:
        """Judge pairs that were laid on each other, ``alignment.agreement``: bool [P]."""
        whole, worst, strong, as_is = agreements[:4]
        proven = (strong >= _IN_STRONG) & (as_is >= self.as_is)
        if not self.alike:
            proven = (worst >= _IN_WORST) | (whole >= _MOST)
        return ((whole >= self.border) & (proven | self.given)) | self.same(agreements[3:], _REST_LAID)


def _learn(judge: "_Judge", random: np.ndarray, near: np.ndarray, border: float | None) -> _Rule:
    """Learn from pairs that are no copies, but for few, how alike a pair must be to be one of copies.

    Args:
        judge: of the set.
        random: random pairs, as numbers; they tell whether all images are alike.
        near: neighbours; where all images are alike, they tell how much.
        border: what the user asks for, if anything.
    """
    alike = bool(np.median(judge.agreements(random, judge.side)[0]) > _ALIKE)
    learned, as_is = _LEAST, _LEAST_AS_IS
    if alike:
        whole, _, _, same = judge.agreements(near, judge.side)[:4]
        learned = float(np.clip(_above(whole[whole < _MOST]), _LEAST, _MOST))
        as_is = float(np.clip(_above(same), _LEAST_AS_IS, _MOST_AS_IS))
    return _Rule(border or learned, as_is, alike, border is not None)


def _above(usual: np.ndarray) -> float:
    """Set a border above what is usual.

    What is usual is the median and the spread below it, on Fisher's scale (artanh),
    where a correlation's spread hardly depends on its size. Copies lie above, and
    change neither much.
    """
    if not len(usual):
        return 1.0
    middle, below = np.quantile(np.arctanh(np.clip(usual, -0.999, 0.999)), [0.5, 0.25])
    return float(np.tanh(middle + _DEVIATIONS * (middle - below) / 0.6745))


class _Judge:
    """Compares pairs of places among the usable rows."""

    def __init__(self, pixels: np.ndarray, usable: np.ndarray):
        self.pixels, self.usable = pixels, usable
        self.side = alignment.side(pixels.shape[1:])
        parts = [usable[start : start + _PAIRS] for start in range(0, len(usable), _PAIRS)]
        made = parallel.ordered_map(lambda rows: alignment.thumbnails(pixels, rows), parts)
        self.thumbnails = np.concatenate(list(made))

    def scores(self, pairs: np.ndarray, rule: _Rule) -> np.ndarray:
        """Score pairs, given as numbers: float [P]; 0 for those that are no copies."""

        def look(part: np.ndarray) -> np.ndarray:
            sides = [self.thumbnails[places] for places in np.divmod(part, len(self.usable))]
            likely = alignment.likeness(*sides) >= (_ALIKE_LIKELY if rule.alike else _LIKELY)
            return likely | rule.same(alignment.remainder(*sides), _REST, slack=2)

        left = np.flatnonzero(self._mapped(look, pairs, _PAIRS, np.empty(0, bool)))
        scores = np.zeros(len(pairs))
        # The finer the dearer: most pairs are told apart at 32 pixels.
        rests = self._compared(alignment.remainder, pairs[left], alignment.side((0,)), 4)
        same = rule.same(rests, _REST)
        scores[left[same]] = rests[0, same]
        left = left[~same]
        for side in sorted({alignment.side((0,)), self.side}):
            found = self.agreements(pairs[left], side)
            same = (found[0] >= min(rule.border, _LEAST)) | rule.same(found[3:], _REST_LAID)
            left, found = left[same], found[:, same]
        same = rule.holds(found)
        scores[left[same]] = np.maximum(found[0], np.where(rule.same(found[3:], _REST_LAID), found[3], 0))[same]
        return scores

    def agreements(self, pairs: np.ndarray, side: int) -> np.ndarray:
        """Give ``alignment.agreement`` of pairs at a side: [7, P]."""
        return self._compared(alignment.agreement, pairs, side, 7)

    def _compared(self, function: Callable[..., np.ndarray], pairs: np.ndarray, side: int, rows: int) -> np.ndarray:
        """Compare pairs at a side by a function that gives [rows, P]."""

        def compare(part: np.ndarray) -> np.ndarray:
            sides = (self.usable[places] for places in np.divmod(part, len(self.usable)))
            return function(*(alignment.working(self.pixels, rows, side) for rows in sides)).T

        return self._mapped(compare, pairs, _PAIRS * 32 * 32 // side**2, np.empty((0, rows))).T

    @staticmethod
    def _mapped(function, pairs: np.ndarray, at_once: int, nothing: np.ndarray) -> np.ndarray:
        parts = [pairs[start : start + at_once] for start in range(0, len(pairs), at_once)]
        # One thread a part is faster than many in each small matrix product.
        with threadpool_limits(1):
            return np.concatenate([nothing, *parallel.ordered_map(function, parts)])
