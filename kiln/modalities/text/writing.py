"""Texts written by a network, token by token."""

from collections.abc import Mapping

import numpy as np

from kiln.core import randomness
from kiln.modalities.selftaught import Scores
from kiln.modalities.text import showing
from kiln.modalities.text.formats import SEPARATOR
from kiln.modalities.text.normalizer import CLS, END, MASK, PAD, SEP, load_tokenizer

TEXTS, TOKENS = 6, 32
TEMPERATURE = 0.8  # below 1: likely tokens are taken more often than the network says


def write(score: Scores, seed: int, fitted: Mapping) -> list[str]:
    """Write texts from their beginning; each next token is drawn by its probability.

    Args:
        score: scores of every token at places of texts: (int32 [N, L], int32 [N, P]) -> float32 [N, P, kinds].
        seed: of the draws.
        fitted: as ``normalizer.fit`` returns it.

    Returns:
        Texts with hidden characters made visible; those that did not end by themselves end in an ellipsis.
    """
    length = min(TOKENS, fitted["max_tokens"] - 1)
    draws = randomness.uniform(randomness.key(seed, "write", np.arange(TEXTS, dtype=np.uint64)), length)
    numbers = np.full((TEXTS, length + 1), PAD, np.int32)
    numbers[:, 0] = CLS
    for place in range(length):
        scores = score(numbers, np.full((TEXTS, 1), place, np.int32))[:, 0].astype(np.float64) / TEMPERATURE
        scores[:, [PAD, CLS, MASK]] = -np.inf
        shares = np.exp(scores - scores.max(axis=1, keepdims=True)).cumsum(axis=1)
        following = (shares > draws[:, place, None] * shares[:, -1:]).argmax(axis=1)
        numbers[:, place + 1] = np.where(np.isin(numbers[:, place], (END, PAD)), PAD, following)
    return [_spell(row[1:], fitted) for row in numbers]


def _spell(row: np.ndarray, fitted: Mapping) -> str:
    tokenizer = load_tokenizer(fitted)
    ended = np.isin(row, (END, PAD))
    own = row[: ended.argmax()] if ended.any() else row
    texts = np.split(own, np.flatnonzero(own == SEP))
    joined = SEPARATOR.join(tokenizer.decode(text[text != SEP].tolist()).strip() for text in texts)
    return showing.make_visible(joined) + ("" if ended.any() else " …")
