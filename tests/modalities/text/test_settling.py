import pytest

from kiln.core.errors import UserError
from kiln.modalities.text import settling
from kiln.modalities.text.conversion import Conversion
from kiln.params.text import Clean

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю."


def settle(*contents: bytes, **settings) -> Conversion:
    return settling.settle([contents[:2], contents[2:]], Clean(**settings))


def test_the_mean_length_in_bytes():
    assert settle(b"abc", b"abcde", b"abcd").bytes == 4
    assert settle(b"x" * 1000, max_bytes=100).bytes == 100
    assert settle(b"").bytes == settle().bytes == 1


def test_the_script_of_nearly_all():
    assert settle(b"abc", b"abc").script == "Latin"
    assert settle("да".encode(), "酒店".encode()).script is None
    assert settle("酒店很好".encode(), "ホテルです".encode()).script == "Han"
    assert settle(b"1", b"...").script is None
    # Four of five are enough.
    assert settle(*[RUSSIAN.encode()] * 4, b"abc").script == "Cyrillic"
    assert settle(*[RUSSIAN.encode()] * 3, b"abc").script is None


def test_the_legacy_encoding_is_that_of_all_together():
    short = [word.encode("cp1251") for word in RUSSIAN.split()]
    conversion = settle(*short, b"plain")
    assert (conversion.encoding, conversion.script) == ("cp1251", "Cyrillic")
    assert settle(b"plain").encoding is None
    assert settle(*short, fallback_encoding="koi8_r").encoding == "koi8_r"


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match=r"fallback_encoding is 'latin0x'"):
        settle(b"a", fallback_encoding="latin0x")
    with pytest.raises(UserError, match=r"fallback_encoding"):
        settle(b"a", fallback_encoding="base64")  # Python knows it, but it is none of text
    with pytest.raises(UserError, match=r"language is xx"):
        settle(b"a", language="xx")


def test_what_is_chosen_reads_back_from_json():
    for conversion in (settle(b"abc", mask_personal=True), settle(b"1", repair=False)):
        assert Conversion(**conversion.to_json()) == conversion
    assert settle(b"abc").describe() == "Unicode of 3 bytes on average"


@pytest.mark.parametrize(
    "fields", [{"bytes": 0}, {"bytes": 3.0}, {"bytes": True}, {"repair": 1}, {"script": 5}, {"encoding": "x\0y"}]
)
def test_damaged_fields_are_refused(fields):
    with pytest.raises((TypeError, ValueError)):
        Conversion(**{"bytes": 5, **fields})
