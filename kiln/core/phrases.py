"""Numbers, counts and names as they are written in a sentence."""

from collections.abc import Sequence


def percent(share: float, digits: int = 1) -> str:
    """Write a share as a percentage: never 100% or 0% by rounding."""
    if share == 1:
        return "100%"
    for more in range(digits, 7):
        shown = f"{share:.{more}%}"
        if share == 0 or float(shown[:-1]) not in (0, 100):
            return shown
    return "<0.000001%" if share < 0.5 else ">99.999999%"


def span(low: float, high: float, digits: int = 1) -> str:
    """Write two shares as percentages, with enough digits to differ: 97.1% to 98.4%."""
    for more in range(digits, 10):
        ends = percent(low, more), percent(high, more)
        if ends[0] != ends[1] or low == high:
            break
    return " to ".join(ends)


def number(value: float) -> str:
    """Write a number with four decimals; with more where it would be rounded to 0 or 1."""
    shown = f"{value:.4f}"
    if float(shown) not in (0, 1) or value in (0, 1):
        return shown
    return f"{value:.4g}" if float(shown) == 0 else f"{value:.7g}"


def grouped(units: int, count: int, noun: str) -> str:
    """Write what is resampled or tested: 20 groups of 600 images, or 600 images."""
    return plural(count, noun) if units == count else f"{plural(units, 'group')} of {plural(count, noun)}"


def joined(names: Sequence[str]) -> str:
    """Write names as a list in a sentence: a; a and b; a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Write a count with its noun: 1 image, 2,000 images; ``nouns`` where an s is not enough."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def with_article(noun: str) -> str:
    """Put the article before a noun: an image, a text."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
