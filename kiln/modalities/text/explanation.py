"""Which words a network relies on: how its answer changes when they are hidden, or weigh more.

Li, Monroe and Jurafsky, "Understanding neural networks through representation erasure", 2016; gradients times
inputs as in Shrikumar, Greenside and Kundaje, "Learning important features through propagating activation
differences", ICML 2017.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from kiln.modalities.base import Exhibit
from kiln.modalities.explained import Explained
from kiln.modalities.text import personal, pieces, showing
from kiln.modalities.text.formats import SEPARATOR

MOST = 100  # predictions per text; in longer ones, runs of words are hidden together
SPACELESS_RUN = 2  # characters hidden together in scripts without spaces, where a word has about so many
FAINT = 0.1  # a change of the log-odds below which no word is shown as decisive
NEAR_0 = 1e-6  # a probability


def explain(network: Explained, texts: np.ndarray, classes: np.ndarray) -> list[dict[str, Exhibit]]:
    """Show which words a network relies on: for each text, title -> marked text.

    Args:
        network: to be explained.
        texts: object [N] of str; of each, the beginning that ``showing.show`` shows is explained.
        classes: int [N], the class to explain for each text.
    """
    return [_explain(network, row, text, index) for row, (text, index) in enumerate(zip(texts, classes, strict=True))]


def _explain(network: Explained, row: int, text: str, index: int) -> dict[str, Exhibit]:
    shown = {"hiding": mark(text, weigh_words(partial(network.predict, row), text, index))}
    locate = getattr(network.encoder, "locate", None)
    slopes = (
        None if locate is None else weigh_gradients(partial(network.compute_slopes, row, index=index), locate, text)
    )
    return shown if slopes is None else {**shown, "gradient": mark(text, slopes)}


def weigh_words(predict: Callable[[np.ndarray], np.ndarray], text: str, index: int) -> np.ndarray:
    """Measure how much the log-odds of a class fall where words are hidden.

    Args:
        predict: object [M] of str -> probabilities [M, classes].
        text: whose first ``showing.SHOWN`` characters are explained; the rest stays as it is.
        index: of the class.

    Returns:
        float [words of the beginning]: the mean fall over the runs that cover a word; below 0 where hiding makes
        the class more likely. At most ``MOST`` texts are predicted.
    """
    words, gaps = pieces.split(text[: showing.SHOWN])
    runs = _list_runs_of(words)
    if not runs:
        return np.zeros(0)
    changed = np.empty(1 + len(runs), object)
    changed[0] = text
    for place, run in enumerate(runs, 1):
        kept = [not run.start <= number < run.stop for number in range(len(words))]
        changed[place] = pieces.join(words, gaps, kept) + text[showing.SHOWN :]
    odds = _log_odds(predict(changed)[:, index])
    return _average(runs, odds[0] - odds[1:], len(words))


def weigh_gradients(
    compute_slopes: Callable[[np.ndarray], np.ndarray | None],
    locate: Callable[[str], np.ndarray],
    text: str,
) -> np.ndarray | None:
    """Measure how much the log-odds of a class rise with the vectors of words: their gradient times the vectors.

    Args:
        compute_slopes: see ``Explained.compute_slopes``.
        locate: a text -> the characters of each token; see ``normalizer.Encoder.locate``.
        text: whose first ``showing.SHOWN`` characters are explained.

    Returns:
        float [words of the beginning], 0 for words that the network is not given; None if it has no vectors.
    """
    words, gaps = pieces.split(text[: showing.SHOWN])
    runs = _list_runs_of(words)
    if not runs:
        return np.zeros(0)
    spans = locate(text)
    starts = np.cumsum([len(gaps[0]), *(len(word) + len(gap) for word, gap in zip(words, gaps[1:], strict=True))])
    ends = starts[:-1] + [len(word) for word in words]
    groups = [(spans[:, 0] < ends[run][-1]) & (spans[:, 1] > starts[:-1][run][0]) for run in runs]
    slopes = compute_slopes(np.array(groups))
    return None if slopes is None else _average(runs, slopes, len(words))


def _list_runs_of(words: Sequence[str]) -> list[slice]:
    return list_runs(len(words), SPACELESS_RUN if pieces.is_spaceless(words) else 1) if words else []


def _average(runs: Sequence[slice], values: np.ndarray, words: int) -> np.ndarray:
    """Average over the runs that cover each word."""
    total, count = np.zeros(words), np.zeros(words)
    for run, value in zip(runs, values, strict=True):
        total[run] += value
        count[run] += 1
    return total / count


def list_runs(words: int, size: int) -> list[slice]:
    """List which words to hide together.

    Runs of ``size``, one word apart and shorter at the ends, so that each word is in equally many; where these were
    too many, longer runs side by side.
    """
    most = MOST - 1  # the text itself is predicted too
    if words + size - 1 > most:
        size = -(-words // most)
        return [slice(start, start + size) for start in range(0, words, size)]
    return [slice(max(0, start), start + size) for start in range(1 - size, words)]


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    bounded = np.clip(probabilities.astype(np.float64), NEAR_0, 1 - NEAR_0)
    return np.log(bounded) - np.log1p(-bounded)


def mark(text: str, weights: Sequence[float]) -> Exhibit:
    """Mark the words of a text's beginning by their weights, scaled by the largest to -1 to 1; mask personal data."""
    words, gaps = pieces.split(text[: showing.SHOWN])
    together = np.diff(weights, append=np.nan) == 0  # with the next word: hidden in one run
    scaled = np.round(np.asarray(weights) / max(FAINT, np.abs(weights).max(initial=0)), 2) + 0.0  # no -0.0
    marked = [[gaps[0], 0.0]]
    for word, gap, weight, joined in zip(words, gaps[1:], scaled.tolist(), together.tolist(), strict=True):
        marked += [[word, weight], [gap, weight if joined and SEPARATOR not in gap else 0.0]]
    shown = _merge([*_mask(marked, personal.locate(text)), [showing.describe_rest(text), 0.0]])
    seen = [[showing.make_visible(piece), weight] for piece, weight in shown]
    return Exhibit("marked", json.dumps(seen, ensure_ascii=False).encode())


def _mask(marked: Sequence[Sequence], found: Sequence[tuple[int, int, str]]) -> list[Sequence]:
    """Put the signs of personal data in its place, each with the largest weight of what it stands for."""
    text = "".join(piece for piece, _ in marked)
    weights = np.repeat([weight for _, weight in marked], [len(piece) for piece, _ in marked]).tolist()
    masked, at = [], 0
    for start, end, sign in found:
        if start < len(text):
            masked += [*zip(text[at:start], weights[at:start], strict=True), (sign, max(weights[start:end], key=abs))]
            at = end
    return [*masked, *zip(text[at:], weights[at:], strict=True)]


def _merge(marked: Sequence[Sequence]) -> list[list]:
    """Join neighbours of one weight; leave out what is empty."""
    merged: list[list] = []
    for piece, weight in marked:
        if piece and merged and merged[-1][1] == weight:
            merged[-1][0] += piece
        elif piece:
            merged.append([piece, weight])
    return merged
