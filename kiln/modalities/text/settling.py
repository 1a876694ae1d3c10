"""Choose the conversion of a set of texts by what is usual among them."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

from kiln.core.errors import UserError
from kiln.modalities.text import decoding, scripts
from kiln.modalities.text.conversion import Conversion, is_encoding
from kiln.params.text import Clean

# How many texts of each slice of 256 tell the script, and how many characters of each.
_SAMPLED, _BEGINNING = 32, 500
# The script is that of so many texts, or there is no usual one.
_USUAL = 0.8
# Bytes that tell the encoding of what is not UTF-8, and the most of one text.
_EVIDENCE, _EXCERPT = 200_000, 4_000


def settle(contents: Iterable[Sequence[bytes]], settings: Clean) -> Conversion:
    """Choose the conversion: the mean length, the encoding of what is not UTF-8, the script of nearly all texts.

    Legacy encodings are found out from all texts together: one alone is often too short to tell.

    Args:
        contents: the texts, undecoded, in slices.
        settings: the text's settings of clean.

    Raises:
        UserError: the settings name an unknown encoding or language.
    """
    check_names(settings)
    count = total = evidence = 0
    usual, legacy = Counter(), []
    for slice_ in contents:
        count, total = count + len(slice_), total + sum(min(len(content), settings.max_bytes) for content in slice_)
        for place, content in enumerate(slice_):
            if is_legacy(content):
                legacy += [content[:_EXCERPT]] if evidence < _EVIDENCE else []
                evidence += len(content[:_EXCERPT])
            elif place < _SAMPLED:
                usual[_main_script(content)] += 1
    encoding = settings.fallback_encoding
    if encoding == "auto":
        encoding = decoding.detect_encoding(b"\n".join(legacy)) if legacy else None
    usual.update(_main_script(content, encoding) for content in legacy)
    del usual[None]
    script, votes = usual.most_common(1)[0] if usual else (None, 0)
    script = script if votes >= _USUAL * usual.total() else None
    return Conversion(max(1, round(total / max(1, count))), settings.repair, settings.mask_personal, encoding, script)


def check_names(settings: Clean) -> None:
    """Check the names of the encoding and the language.

    Raises:
        UserError: one is unknown; with the nearest that is known.
    """
    encoding, language = settings.fallback_encoding, settings.language
    if encoding != "auto" and not is_encoding(encoding):
        raise UserError(f"clean.text.fallback_encoding is {encoding!a:.40}, which is no encoding: try cp1252 or auto")
    if language and language not in (known := decoding.load_languages().labels):
        near = difflib.get_close_matches(language, known, n=3, cutoff=0) or sorted(known)
        raise UserError(f"clean.text.language is {language}, which is not known: try one of {', '.join(near)}")


def is_legacy(content: bytes) -> bool:
    """Check whether a text is in an encoding that only its characters tell."""
    return not content.startswith(tuple(mark for mark, _ in decoding.MARKS)) and decoding.read_utf8(content) is None


def _main_script(content: bytes, encoding: str | None = None) -> str | None:
    beginning = decoding.read(content[: 4 * _BEGINNING], encoding or "latin-1")[0][:_BEGINNING]
    counts = scripts.count_scripts(beginning)
    return counts.most_common(1)[0][0] if counts else None
