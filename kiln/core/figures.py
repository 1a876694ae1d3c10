"""The figures of metrics.json: what they are called in prose, which way is better, and how counts are written."""

from collections.abc import Sequence

# figure of a split -> (title, which way is better); in the order of tables
FIGURES = {
    "accuracy": ("accuracy", "higher"),
    "balanced_accuracy": ("balanced accuracy", "higher"),
    "precision": ("precision, mean over classes", "higher"),
    "recall": ("recall, mean over classes", "higher"),
    "f1": ("F1, mean over classes", "higher"),
    "weighted_precision": ("precision, weighted by images", "higher"),
    "weighted_recall": ("recall, weighted by images", "higher"),
    "weighted_f1": ("F1, weighted by images", "higher"),
    "top2_accuracy": ("label among the likeliest two", "higher"),
    "top5_accuracy": ("label among the likeliest five", "higher"),
    "auc": ("area under the ROC curve, mean over classes", "higher"),
    "log_loss": ("log-loss, nats", "lower"),
    "brier": ("Brier score, 0 to 2", "lower"),
    "ece": ("calibration error", "lower"),
}
MANY_CLASSES = ("top2_accuracy", "top5_accuracy")  # only where there are more classes
_COSTS = ("parameters", "multiply_adds", "megabytes")


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
    """Write two shares as percentages, with the digits that tell them apart: 97.1% to 98.4%."""
    for more in range(digits, 10):
        ends = percent(low, more), percent(high, more)
        if ends[0] != ends[1] or low == high:
            break
    return " to ".join(ends)


def number(value: float) -> str:
    """Write a figure with four decimals; with more where it would seem to be 0 or 1."""
    shown = f"{value:.4f}"
    if float(shown) not in (0, 1) or value in (0, 1):
        return shown
    return f"{value:.4g}" if float(shown) == 0 else f"{value:.7g}"


def grouped(units: int, images: int) -> str:
    """Say what is resampled, or tested: 20 groups of 600 images, or 600 images."""
    return plural(images, "image") if units == images else f"{plural(units, 'group')} of {plural(images, 'image')}"


def joined(names: Sequence[str]) -> str:
    """Write names as a list in a sentence: a; a and b; a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Write a count with its noun: 1 image, 2,000 images; ``nouns`` where an s is not enough."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def better(key: str) -> str | None:
    """Tell which way a key of metrics.json, such as test.accuracy, is better: higher, lower or neither (None)."""
    section, _, name = key.partition(".")
    if section in ("train", "validation", "test", "test_flipped", "test_calibrated"):
        return FIGURES[name][1] if name in FIGURES else None
    if section == "robustness":
        return None if name == "images" else "higher"
    return "lower" if section == "model" and name in _COSTS else None
