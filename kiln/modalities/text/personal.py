"""Personal data that patterns can find: mail addresses, phone numbers and payment cards.

Every repetition is bounded, so that hostile texts take linear time.
"""

import re
from collections.abc import Sequence

_MAIL = re.compile(
    r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
_HIDDEN = "<"  # belongs to none of the patterns
_CARD = re.compile(r"(?<![\d.,+-])[2-6]\d{3}(?:[ -]?\d){9,15}(?!\d|[.,]\d)")
# International, with a leading 0 or (, three groups as in North America, or a Chinese mobile; never a date.
_PHONE = re.compile(
    r"(?<![A-Za-z0-9_.,/+-])(?!\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d)"
    r"(?:\+\d(?:[ ./()-]{0,2}\d){7,14}|\(?0\d(?:[ ./()-]{0,2}\d){7,12}|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}|1[3-9]\d{9})"
    r"(?![A-Za-z0-9_]|[.,]\d)"
)


def find(text: str) -> tuple[int, str]:
    """Find personal data.

    Returns:
        How much of it there is, and the text with each replaced by ``<email>``, ``<card>`` or ``<phone>``.
    """
    found = locate(text)
    return len(found), replace(text, found)


def mask(text: str) -> str:
    """Replace all personal data of a text."""
    return replace(text, locate(text))


def locate(text: str) -> list[tuple[int, int, str]]:
    """Locate personal data: (start, end, what to put in its place), in order, none within another."""
    found: list[tuple[int, int, str]] = []
    if "@" in text:
        found = [(*match.span(), "<email>") for match in _MAIL.finditer(text)]
    if any(map(str.isdigit, text)):
        for pattern, holds, sign in ((_CARD, passes_luhn, "<card>"), (_PHONE, bool, "<phone>")):
            # What is found already is hidden, at its length, from what looks for less.
            rest = replace(text, [(start, end, _HIDDEN * (end - start)) for start, end, _ in found])
            found = sorted(found + [(*match.span(), sign) for match in pattern.finditer(rest) if holds(match[0])])
    return found


def replace(text: str, found: Sequence[tuple[int, int, str]]) -> str:
    """Replace what ``locate`` has found."""
    pieces, at = [], 0
    for start, end, sign in found:
        pieces += [text[at:start], sign]
        at = end
    return "".join([*pieces, text[at:]])


def passes_luhn(number: str) -> bool:
    """Check the check digit of a payment card (ISO/IEC 7812-1): every second digit from the right counts twice."""
    digits = [int(digit) for digit in reversed(number) if digit.isdigit()]
    return sum(digits[::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0
