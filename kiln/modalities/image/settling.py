"""Choose the conversion of a set of images by their headers and, for deep ones, their values."""

from collections import Counter
from collections.abc import Iterable, Sequence

from kiln.core import parallel
from kiln.core.errors import UserError
from kiln.core.phrases import plural
from kiln.modalities.image import decoding, levels
from kiln.modalities.image.conversion import Conversion
from kiln.params.image import Clean

_AUTO_LIMIT, _AUTO_SIZE = 64, (64, 64)
# Fraction of deep images with the other kind of number that does not stop the stage.
_RARE = 0.05


def settle(contents: Iterable[Sequence[bytes]], settings: Clean) -> Conversion:
    """Choose the conversion; where it is automatic, by all images' headers and the values of deep ones.

    The number of images that the chosen range clips is printed, since some may become uniformly white or black.

    Args:
        contents: the images' files, in slices; not read if nothing is automatic.
        settings: the image's settings of clean.

    Raises:
        UserError: as ``find_range``.
    """
    shapes, spans = Counter(), []
    given = settings.range if settings.range != "auto" else None

    def inspect_slice(files: Sequence[bytes]) -> list[tuple]:
        return [
            (decoding.inspect(content), None if given else decoding.span(content, settings.max_pixels))
            for content in files
        ]

    if "auto" in (settings.size, settings.channels, settings.range):
        for inspected in parallel.ordered_map(inspect_slice, contents):
            shapes.update(shape for shape, _ in inspected)
            spans += [span for _, span in inspected if span]
    shapes.pop(None, None)
    chosen = find_range(spans)
    if chosen and (clipped := levels.beyond(spans, chosen)):
        print(
            f"clean: {clipped:,} of {plural(len(spans), 'deep image')} have values outside {chosen[0]:g} to "
            f"{chosen[1]:g}, the range of nearly all others, and are clipped: set clean.image.range to keep all of it"
        )
    return choose(shapes, settings, given or chosen)


def choose(shapes: Counter, settings: Clean, within: levels.Range | None = None) -> Conversion:
    """Choose size and channels.

    Args:
        shapes: (height, width, channels) of the images' headers -> count.
        settings: the image's settings of clean.
        within: the range of deep values.

    Returns:
        Unless the settings say otherwise: the size that all images share if its sides
        are at most 64 pixels, else 64 x 64; gray if all images are gray, else RGB.
    """
    sizes = {shape[:2] for shape in shapes}
    if settings.size != "auto":
        size = tuple(settings.size)
    else:
        small = len(sizes) == 1 and max(next(iter(sizes))) <= _AUTO_LIMIT
        size = sizes.pop() if small else _AUTO_SIZE
    channels = settings.channels
    if channels == "auto":
        channels = max((shape[2] for shape in shapes), default=3)
    return Conversion(*size, channels, settings.fit, within)


def find_range(spans: list[levels.Span]) -> levels.Range | None:
    """Find the range of values of a set's deep images; None if it has none.

    Raises:
        UserError: integers and floating-point numbers are mixed.
    """
    floating = sum(span.floating for span in spans)
    if min(floating, len(spans) - floating) > _RARE * len(spans):
        raise UserError(
            f"{len(spans) - floating:,} images hold integers of more than 8 bits and {floating:,} floating-point "
            "numbers, which have no common range: convert one kind, or set clean.image.range"
        )
    usual = [span for span in spans if span.floating == (2 * floating > len(spans))]
    return levels.fit(usual) if usual else None
