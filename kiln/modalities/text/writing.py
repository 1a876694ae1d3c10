"""Texts written by a network, token by token."""

from collections.abc import Mapping

import numpy as np

from kiln.core import randomness
from kiln.modalities.selftaught import Scores
from kiln.modalities.text import showing
from kiln.modalities.text.formats import SEPARATOR
from kiln.modalities.text.normalizer import PAD, load_tokenizer, special

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
    mark = special(fitted)
    length = min(TOKENS, fitted["max_tokens"] - 1)
    draws = randomness.uniform(randomness.key(seed, "write", np.arange(TEXTS, dtype=np.uint64)), length)
    numbers = np.full((TEXTS, length + 1), PAD, np.int32)
    numbers[:, 0] = mark["cls"]
    for place in range(length):
        scores = score(numbers, np.full((TEXTS, 1), place, np.int32))[:, 0].astype(np.float64) / TEMPERATURE
        scores[:, [PAD, mark["cls"], mark["mask"]]] = -np.inf
        shares = np.exp(scores - scores.max(axis=1, keepdims=True)).cumsum(axis=1)
        following = (shares > draws[:, place, None] * shares[:, -1:]).argmax(axis=1)
        numbers[:, place + 1] = np.where(np.isin(numbers[:, place], (mark["end"], PAD)), PAD, following)
    return [_spell(row[1:], fitted) for row in numbers]


def _spell(row: np.ndarray, fitted: Mapping) -> str:
    tokenizer, mark = load_tokenizer(fitted), special(fitted)
    ended = np.isin(row, (mark["end"], PAD))
    own = row[: ended.argmax()] if ended.any() else row
    texts = np.split(own, np.flatnonzero(own == mark["sep"]))
    joined = SEPARATOR.join(tokenizer.decode(text[text != mark["sep"]].tolist()).strip() for text in texts)
    return showing.make_visible(joined) + ("" if ended.any() else " …")
