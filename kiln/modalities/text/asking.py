"""What networks are asked about texts without labels: which tokens are hidden, and which comes next."""

from collections.abc import Mapping

import numpy as np

from kiln.core import randomness
from kiln.modalities.selftaught import Questions
from kiln.modalities.text.normalizer import PAD, SPECIAL, TOKENS, count_kinds, special

# Devlin et al., "BERT", NAACL 2019, section 3.1: of the tokens 15 % are asked for. Of these 80 % are hidden, 10 %
# replaced by any other and 10 % left, so that the network must judge every token.
ASKED, HIDDEN, REPLACED = 0.15, 0.8, 0.1


def ask(task: str, numbers: np.ndarray, keys: np.ndarray, fitted: Mapping) -> Questions:
    """Ask about texts; padding and the marks of beginning and end are never hidden.

    Args:
        task: ``masked`` or ``next``.
        numbers: of tokens, int32 [N, L], padded with 0 at the end.
        keys: uint64 [N].
        fitted: as ``normalizer.fit`` returns it.
    """
    if task == "next":
        return ask_next(numbers)
    return ask_hidden(numbers, keys, count_kinds(TOKENS, fitted), special(fitted))


def ask_next(numbers: np.ndarray) -> Questions:
    """Ask for the token after each.

    Radford et al., "Language models are unsupervised multitask learners", 2019.
    """
    places = np.broadcast_to(np.arange(numbers.shape[1] - 1, dtype=np.int32), numbers[:, 1:].shape)
    return Questions(numbers, places, numbers[:, 1:], (numbers[:, 1:] != PAD).astype(np.float32))


def ask_hidden(numbers: np.ndarray, keys: np.ndarray, kinds: int, marks: Mapping[str, int]) -> Questions:
    """Hide some tokens of each text, at least one, and ask for them.

    Args:
        numbers: int32 [N, L].
        keys: uint64 [N].
        kinds: how many different tokens there are.
        marks: of the tokens that no text has, as ``normalizer.special`` returns them.
    """
    order, chance, other = (
        randomness.uniform(randomness.key(keys, name), numbers.shape[1]) for name in ("place", "how", "other")
    )
    own = ~np.isin(numbers, [PAD, *marks.values()])
    counts = own.sum(axis=1)
    asked = np.where(counts, np.maximum(1, np.rint(ASKED * counts)), 0).astype(np.int64)
    places = np.argsort(np.where(own, order, 2.0), axis=1, kind="stable")[:, : max(1, asked.max(initial=0))]
    weights = (np.arange(places.shape[1]) < asked[:, None]).astype(np.float32)
    answers, chance, other = (np.take_along_axis(array, places, axis=1) for array in (numbers, chance, other))
    shown = np.where(chance < HIDDEN + REPLACED, len(SPECIAL) + (other * (kinds - len(SPECIAL))).astype(int), answers)
    shown = np.where(chance < HIDDEN, marks["mask"], shown)
    changed = numbers.copy()
    np.put_along_axis(changed, places, np.where(weights > 0, shown, answers).astype(np.int32), axis=1)
    return Questions(changed, places.astype(np.int32), answers, weights)
