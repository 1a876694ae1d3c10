"""Five corruptions of texts, at three strengths each: what people and programs do to texts between writing and reading.

After Belinkov and Bisk, "Synthetic and natural noise both break neural machine translation", ICLR 2018.
"""

import numpy as np

from kiln.modalities.base import STRENGTHS, Corruption
from kiln.modalities.text import editing, pieces

# Signs that are typed for each other.
_ALIKE = ('"“”„«»「」', "'’‘`´", "-–—", ".。．", "!！", "?？", ",，、", ":：", ";；", "(（", ")）")
_OTHERS = {sign: alike.replace(sign, "") for alike in _ALIKE for sign in alike}


def _mistype(text: str, share: float, draw: editing.Draw) -> str:
    for slip in (editing.press_beside, editing.swap_letters, editing.drop_letters):
        text = slip(text, share / 3, draw)
    return text


def _change_case(text: str, share: float, draw: editing.Draw) -> str:
    words, gaps = pieces.split(text)
    to, other = (str.upper, str.lower) if draw(1)[0] < 0.5 else (str.lower, str.upper)
    change = to if to(text) != text else other
    changed = draw(len(words)) < share
    return pieces.join([change(word) if now else word for word, now in zip(words, changed, strict=True)], gaps)


def _change_punctuation(text: str, share: float, draw: editing.Draw) -> str:
    """Replace signs by another of their kind, or leave them out: one or the other for half of them each."""
    signs, draws = list(text), draw(len(text))
    for index in np.flatnonzero(draws < share):
        if others := _OTHERS.get(signs[index]):
            place = draws[index] / share  # below the share, draws are uniform too
            signs[index] = "" if place < 0.5 else others[int((2 * place - 1) * len(others))]
    return "".join(signs) if any(map(str.strip, signs)) else text


CORRUPTIONS = {
    "typos": Corruption((0.02, 0.05, 0.1), "of the letters: a key beside, swapped with the next, or left out"),
    "case": Corruption((0.1, 0.5, 1), "of the words, in capital or in small letters"),
    "omission": Corruption((0.1, 0.2, 0.4), "of the words, anywhere"),
    "truncation": Corruption((0.25, 0.5, 0.75), "of the words, at the end"),
    "punctuation": Corruption((0.3, 0.6, 1), "of the marks, as others of their kind or left out"),
}
_CHANGES = {
    "typos": _mistype,
    "case": _change_case,
    "omission": editing.drop_words,
    "truncation": editing.truncate,
    "punctuation": _change_punctuation,
}


def corrupt(texts: np.ndarray, name: str, strength: str, generator: np.random.Generator) -> np.ndarray:
    """Corrupt every text.

    Args:
        texts: object [N] of str.
        name: of ``CORRUPTIONS``.
        strength: of ``STRENGTHS``.
        generator: draws words and letters.

    Returns:
        object [N] of str; no text loses all its words.
    """
    amount = CORRUPTIONS[name].amounts[STRENGTHS.index(strength)]
    changed = texts.copy()
    for row, text in enumerate(texts):
        changed[row] = _CHANGES[name](text, amount, generator.random)
    return changed
