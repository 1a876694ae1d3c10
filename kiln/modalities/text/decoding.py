"""Decode bytes to a string: the one conversion, used by clean and predict."""

import codecs
import functools
import re
import unicodedata

from kiln.modalities.base import Decoded, TooLarge, Undecodable
from kiln.modalities.text import personal, scripts
from kiln.modalities.text.conversion import Conversion
from kiln.params.text import Clean

FACTS = ("characters", "script_share", "language", "markup", "personal")
MAX_BYTES = 1_000_000
# UTF-32 first: its little-endian mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What legacy texts are in; where two are as likely, the first: also for texts with too few such bytes to tell, since
# cp1252 is by far the most common.
_LEGACY = [
    "cp1252", "cp1251", "euc_jp", "gb18030", "cp949", "big5", "cp932", "cp1250", "cp1253", "cp1254", "cp1255",
    "cp1256", "cp1257", "cp1258", "koi8_r",
]  # fmt: skip
_TELLING = 24
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c]")
# C0 and C1 but tab, newline and the separator of columns; what stands for a lost character, or is none.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1d\x1f\x7f-\x9f]")
_LOST = re.compile(r"[\ufdd0-\ufdef\ufffd-\uffff\ud800-\udfff]")
# More of them than this, and more than a few, are a program or a picture.
_BINARY, _FEW = 0.1, 8
# Marks on one letter, as in Unicode's stream-safe text format (UAX 15); sorting more takes quadratic time.
_MARKS_AT_MOST = 30
_BLANK = " \t\n\xa0\u3000\ufeff"
_TAGS = (
    "a|abbr|b|blockquote|body|br|center|code|div|em|font|form|h[1-6]|head|hr|html|i|iframe|img|input|label|li|link|"
    "meta|ol|option|p|pre|script|select|small|span|strong|style|sub|sup|table|tbody|td|th|thead|title|tr|u|ul"
)
_MARKUP = re.compile(
    rf"</?(?:{_TAGS})\b[^<>]{{0,300}}>|<!--|-->|<!doctype\b|&(?:[a-z]{{2,8}}|#\d{{1,7}}|#x[\da-f]{{1,6}});", re.I
)
# With letters of fewer bytes, languages are not told apart reliably; more characters than the other make it no surer.
_TELLING_LETTERS, _SAMPLE = 24, 500


def decode(content: bytes, conversion: Conversion, settings: Clean | None = None) -> Decoded:
    """Decode a text.

    Args:
        content: undecoded; at most ``clean.text.max_bytes``.
        conversion: of all texts.
        settings: of clean; without them the language is not judged.

    Returns:
        The string in NFC, without control characters but tab, newline and the separator of columns. Its facts:
        characters; script_share (share of the letters that are in the usual script), language (probability of
        the language of the settings), markup (share of the characters that are HTML), all NaN where unknown;
        personal (count of mail addresses, phone and card numbers). Notes on what was wrong with its characters.

    Raises:
        TooLarge: the content is too long.
        Undecodable: nothing is left, or it is no text.
    """
    most = settings.max_bytes if settings else MAX_BYTES
    if len(content) > most:
        raise TooLarge(f"{len(content):,} bytes, more than {most:,} (clean.text.max_bytes)")
    text, notes = read(content, conversion.encoding)
    text, more = purify(_LINE_ENDS.sub("\n", text), conversion.repair)
    if not text.strip():
        raise Undecodable("empty")
    personal_data, masked = personal.find(text)
    facts = {
        "characters": len(text),
        "script_share": scripts.share_in(text, conversion.script) if conversion.script else float("nan"),
        "language": _judge_language(text, settings.language) if settings and settings.language else float("nan"),
        "markup": sum(len(found[0]) for found in _MARKUP.finditer(text)) / len(text) if _may_hold_markup(text) else 0.0,
        "personal": personal_data,
    }
    return Decoded(masked if conversion.mask else text, facts, (*notes, *more))


def read(content: bytes, fallback: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Decode bytes to characters, whatever these are.

    Args:
        content: in UTF-8, or any encoding with a byte-order mark, or a legacy one.
        fallback: encoding of what is not UTF-8; by default found out.

    Returns:
        The characters, and notes: which encoding they were in, if not in UTF-8.
    """
    for mark, name in MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(name, "replace"), () if name == "utf-8" else (_tell(name),)
    if (text := read_utf8(content)) is not None:
        return text, ()
    for name in filter(None, (fallback, detect_encoding(content))):
        try:
            return content.decode(name), (_tell(name),)
        except (UnicodeError, LookupError):
            continue
    return content.decode(_LEGACY[0], "replace"), (_tell(_LEGACY[0]),)


def _tell(encoding: str) -> str:
    return f"read as {encoding}, since it is not UTF-8"


def read_utf8(content: bytes) -> str | None:
    """Decode UTF-8, also if it holds surrogates or is cut off within a character; None if it is another encoding."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        pass
    try:  # pairs of surrogates are a character (CESU-8), single ones are lost
        return content.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    except UnicodeDecodeError:
        text = content.decode("utf-8", "replace")
    lost = text.count("\ufffd")
    beyond = sum(character > "\x7f" for character in text) - lost
    return text if beyond >= 2 * lost else None


def detect_encoding(content: bytes) -> str | None:
    """Find out a legacy encoding; None if it is unclear."""
    from charset_normalizer import from_bytes

    if sum(byte > 0x7F for byte in content) < _TELLING:
        return None
    found = from_bytes(content, cp_isolation=_LEGACY, enable_fallback=False)
    # charset-normalizer ranks by chaos alone, and ties by name.
    ranked = sorted((round(match.chaos - match.coherence, 1), _LEGACY.index(match.encoding)) for match in found)
    return _LEGACY[ranked[0][1]] if ranked else None


def purify(text: str, repair: bool) -> tuple[str, tuple[str, ...]]:
    """Repair wrong decodings, compose characters (NFC) and remove what is no character of a text.

    Returns:
        The string, without blanks at its ends, and notes on what was wrong.

    Raises:
        Undecodable: too much of it is no text.
    """
    notes = []
    if not text.isascii():
        import ftfy

        if (repaired := ftfy.fix_encoding(text)) != text:
            notes.append("wrongly decoded before" + (", which is repaired" if repair else ": see clean.text.repair"))
            text = repaired if repair else text
    length = len(text)
    text = _limit_marks(text)
    for pattern, kind in ((_CONTROLS, "control"), (_LOST, "lost")):
        text, count = pattern.subn("", text)
        if count > max(_FEW, _BINARY * length):
            raise Undecodable("not text: it holds binary data")
        if count:
            notes.append(f"{count:,} {kind} {'character' if count == 1 else 'characters'} removed")
    return unicodedata.normalize("NFC", text).strip(_BLANK), tuple(notes)


def _limit_marks(text: str) -> str:
    """Take off marks such as accents where more are stacked than any language does."""
    marks = "".join(sorted(filter(unicodedata.combining, set(text)))) if not text.isascii() else ""
    return re.sub(f"([{marks}]{{{_MARKS_AT_MOST}}})[{marks}]+", r"\1", text) if marks else text


def _may_hold_markup(text: str) -> bool:
    return "<" in text or "&" in text


@functools.cache
def load_languages():
    """Load the detector of languages, which gives each a probability."""
    from py3langid import langid

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def _judge_language(text: str, language: str) -> float:
    """Compute the probability that a text is in a language; NaN if it is too short to be judged."""
    sample = text[:_SAMPLE]
    if len("".join(filter(str.isalpha, sample)).encode()) < _TELLING_LETTERS:
        return float("nan")
    return dict(load_languages().rank(sample)).get(language, 0.0)
