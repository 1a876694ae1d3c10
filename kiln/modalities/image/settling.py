"""Choosing the conversion of a set of images by their headers and, for deep ones, their values."""

from collections import Counter
from collections.abc import Iterable, Sequence

from kiln.core import parallel
from kiln.core.errors import UserError
from kiln.core.phrases import plural
from kiln.modalities.image import decoding, levels
from kiln.modalities.image.conversion import Conversion
from kiln.params.image import Clean

_AUTO_LIMIT, _AUTO_SIZE = 64, (64, 64)
# Deep images of the other kind of number, as a fraction of all deep ones, that do not stop the stage.
_RARE = 0.05


def settle(contents: Iterable[Sequence[bytes]], settings: Clean) -> Conversion:
    """Choose the conversion, by the headers of all images where it is automatic, and by the values of deep ones.

    How many images the chosen range clips is printed, since white or black pixels alone may be left of them.

    Args:
        contents: the images' files, in slices; not read where nothing is automatic.
        settings: the image's knobs of clean.

    Raises:
        UserError: as ``find_range`` does.
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
            f"clean: {clipped:,} of {plural(len(spans), 'deep image')} reach beyond {chosen[0]:g} to {chosen[1]:g}, "
            "which nearly all others keep to, and are clipped there: set clean.image.range to keep them whole"
        )
    return choose(shapes, settings, given or chosen)


def choose(shapes: Counter, settings: Clean, within: levels.Range | None = None) -> Conversion:
    """Settle size and channels.

    Args:
        shapes: (height, width, channels) of the images' headers -> how many.
        settings: the image's knobs of clean.
        within: the range of deep values.

    Returns:
        The size that all images share if its sides are 64 pixels at most, else
        64 x 64; gray if all images are, else RGB; unless the settings say.
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
    """Find the range of values of a set's deep images; None where it has none.

    Raises:
        UserError: whole numbers and floating-point ones are mixed.
    """
    floating = sum(span.floating for span in spans)
    if min(floating, len(spans) - floating) > _RARE * len(spans):
        raise UserError(
            f"{len(spans) - floating:,} images hold whole numbers of more than 8 bits and {floating:,} floating-point "
            "ones, which have no common range: convert one kind, or set clean.image.range"
        )
    usual = [span for span in spans if span.floating == (2 * floating > len(spans))]
    return levels.fit(usual) if usual else None
