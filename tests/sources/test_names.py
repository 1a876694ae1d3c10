import pytest

from kiln.sources import names, records


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("cat", "cat"),
        (" cat\t", "cat"),
        ("cat\u00a0", "cat"),
        ("\u3000\u732b", "\u732b"),
        ("\ufeffcat", "cat"),
        ("c\u200bat\u200e", "cat"),
        ("soft\u00adhyphen", "softhyphen"),
        ("a\u200db", "ab"),
        ("cafe\u0301", "caf\u00e9"),
        ("golden retriever", "golden retriever"),
        ("\u200b", ""),
        # Here the joiners change what is seen.
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),
        ("\U0001f469\u200d\U0001f52c", "\U0001f469\u200d\U0001f52c"),
    ],
)
def test_labels_are_tidied(name, read):
    assert names.tidy(name) == read == names.tidy(read)


@pytest.mark.parametrize(
    "twins",
    [
        ("cat", "Cat", "cat ", "\uff43\uff41\uff54", "c\u200bat", "CAT\ufeff"),
        ("golden retriever", "golden  retriever", "golden\u00a0retriever", "Golden\u3000Retriever"),
        ("caf\u00e9", "cafe\u0301", "CAF\u00c9"),
        ("\ufb01sh", "fish"),
        ("5 \u00b5m", "5 \u03bcm"),
        ("\u2600", "\u2600\ufe0f"),
        ("Stra\u00dfe", "STRASSE"),
        ("\u212bngstr\u00f6m", "\u00c5ngstro\u0308m"),
    ],
)
def test_names_that_look_the_same_are_equal_when_folded(twins):
    assert len({names.folded(name) for name in twins}) == 1
    assert len({names.visible(name) for name in twins}) == len(twins)


@pytest.mark.parametrize(
    "pair", [("x2", "x\u00b2"), ("cat", "cats"), ("a b", "ab"), ("1/2", "\u00bd"), ("1", "\u2460")]
)
def test_names_that_look_different_are_not(pair):
    assert names.folded(pair[0]) != names.folded(pair[1])


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("mnist_test-00000", {"test"}),
        ("mnistTest2", {"test"}),
        ("testset", {"test"}),
        ("Hold-out", {"test"}),
        ("trainimages", {"train"}),
        ("XTrain", {"train"}),
        ("train_val", {"train", "validation"}),
        ("latest", set()),
        ("contest", set()),
        ("invalid", set()),
        ("strain", set()),
        ("devkit", set()),
        ("dataset", set()),
    ],
)
def test_words_that_tell_splits(name, splits):
    assert names.split_words(name) == splits


def test_a_tally_has_few_reasons_whatever_strangers_write():
    tally, other = records.Tally(), records.Tally()
    for number in range(500):
        tally.add(f".{number}", str(number))
    assert len(tally.counts) == 101 and tally.counts["other"] == 400
    other.add(".0", "x")
    tally.merge(other)
    assert tally.counts[".0"] == 2 and tally.examples[".0"] == ["0", "x"] and tally.counts.total() == 501
