"""Which encoding bytes of text have that are not UTF-8 and do not say."""

# The more common first: of equally good ones the first is taken, such as Windows-1252 for German before Windows-1250.
CANDIDATES = ("cp1252", "cp1250", "cp1251", "koi8_r", "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1253", "cp1254")
CANDIDATES += ("cp1255", "cp1256", "cp1257", "cp1258", "cp874")
# How much messier, or less like a language, a text may look and still be as good as the best; on charset-normalizer's
# scales from 0 to 1.
_CHAOS, _COHERENCE = 0.02, 0.1


def guess(sample: bytes) -> str | None:
    """Guess the encoding of a text by how it would read: None if every one would give nonsense.

    Args:
        sample: lines with bytes beyond ASCII; some hundred bytes are enough.
    """
    import charset_normalizer

    # No marks within the text, such as those of HTML, are followed: they may be wrong, or a trick.
    found = charset_normalizer.from_bytes(
        sample, cp_isolation=list(CANDIDATES), preemptive_behaviour=False, enable_fallback=False
    )
    best = found.best()
    if best is None:
        return None
    close = {
        name
        for match in found
        if match.chaos <= best.chaos + _CHAOS and match.coherence >= best.coherence - _COHERENCE
        for name in match.could_be_from_charset
    }
    return next((name for name in CANDIDATES if name in close), None)
