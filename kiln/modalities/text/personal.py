"""Personal data that patterns can find: mail addresses, phone numbers and payment cards.

Every repetition is bounded, so that hostile texts take linear time.
"""

import re
from collections.abc import Callable

_MAIL = re.compile(
    r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
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
    count = 0

    def replaced(kind: str, holds: Callable[[str], bool] = bool) -> Callable[[re.Match], str]:
        def replace(match: re.Match) -> str:
            nonlocal count
            if not holds(match[0]):
                return match[0]
            count += 1
            return f"<{kind}>"

        return replace

    masked = _MAIL.sub(replaced("email"), text) if "@" in text else text
    if any(map(str.isdigit, masked)):
        masked = _CARD.sub(replaced("card", passes_luhn), masked)
        masked = _PHONE.sub(replaced("phone"), masked)
    return count, masked


def passes_luhn(number: str) -> bool:
    """Check the check digit of a payment card (ISO/IEC 7812-1): every second digit from the right counts twice."""
    digits = [int(digit) for digit in reversed(number) if digit.isdigit()]
    return sum(digits[::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0
