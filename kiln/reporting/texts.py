"""Exhibits of text for templates: pieces with weights, what of them is in full view, and the strongest words."""

import itertools
import json
import string
from collections.abc import Sequence

Pieces = Sequence[Sequence]  # of (piece of text, weight from -1 to 1)

CLAMP = 500  # characters in full view; a new line counts as a line's
LINE = 50
LEVELS = (0.25, 0.5, 0.75)  # weights from which a word is marked: thin, thicker, thickest
STRONGEST = 4
_AROUND = string.whitespace + string.punctuation


def level(weight: float) -> int:
    """Return how strongly a word of this weight is marked: 0 (not at all) to 3."""
    return sum(abs(weight) >= least for least in LEVELS)


def clamp(pieces: Pieces) -> tuple[Pieces, Pieces]:
    """Split pieces into what is in full view and the rest, which is empty or worth a click."""
    text = "".join(piece for piece, _ in pieces)
    room = list(itertools.accumulate(LINE if letter == "\n" else 1 for letter in text))
    if not room or room[-1] <= 1.4 * CLAMP:
        return pieces, []
    end = sum(used <= CLAMP for used in room)
    end = 1 + max(text.rfind(blank, end // 2, end) for blank in " \n") or end
    shown, rest, start = [], [], 0
    for piece, weight in pieces:
        cut = max(0, end - start)
        shown.append((piece[:cut], weight))
        rest.append((piece[cut:], weight))
        start += len(piece)
    return [one for one in shown if one[0]], [one for one in rest if one[0]]


def list_strongest(pieces: Pieces) -> list[tuple[str, Pieces]]:
    """List the marked words of the largest weights for the prediction and against it, strongest first."""
    seen = {(piece.strip(_AROUND) or piece, weight) for piece, weight in pieces if level(weight)}
    ranked = sorted(seen, key=lambda one: (-abs(one[1]), one))
    sides = {"for it": [one for one in ranked if one[1] > 0], "against it": [one for one in ranked if one[1] < 0]}
    return [(side, words[:STRONGEST]) for side, words in sides.items() if words]


FILTERS = {
    "clamped": clamp,
    "level": level,
    "parsed": json.loads,
    "strongest": list_strongest,
    "unmarked": lambda content: [(content.decode(), 0.0)],
}
