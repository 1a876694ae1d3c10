"""Views of texts: known answers, and what no strength may do."""

import numpy as np
import pytest

from kiln.core import randomness
from kiln.modalities.text import augmentation, pieces
from kiln.modalities.text.formats import MASKED, SEPARATOR
from kiln.params.text import Augment

TEXTS = np.array(
    [
        "The film, “quite” a mess,\n isn't worth it - really?",
        "今天天气很好，我们去公园 OK吗？",
        "Привет, как дела?",
        f"question one?{SEPARATOR}answer two is here",
        "word",
        " \n",
        "",
    ],
    dtype=object,
)
KEYS = randomness.key(0, randomness.item_keys([str(row) for row in range(len(TEXTS))]))
STRENGTHS = list(Augment.model_fields)
ALL = dict.fromkeys(STRENGTHS, 0.2)


def view(texts=TEXTS, keys=KEYS, number: int = 0, **strengths) -> list[str]:
    return augmentation.apply(Augment(**strengths), texts, keys, number).tolist()


def test_all_off_is_the_default_and_identity_in_an_array_of_its_own():
    views = augmentation.apply(Augment(), TEXTS, KEYS)
    assert views.tolist() == TEXTS.tolist() and views is not TEXTS and views.dtype == object


@pytest.mark.parametrize("strength", STRENGTHS)
def test_any_strength_is_active(strength):
    assert not augmentation.is_active(Augment())
    assert augmentation.is_active(Augment(**{strength: 0.1}))
    assert view(**{strength: 0.4}) != TEXTS.tolist()


GOLDEN = {
    "crop": ["The film, “quite” a mess,\n isn't worth it", "今天天气很好，我们去公园 OK", "Привет, как дела?"],
    "drop_words": ["The “quite”\n isn't it - really?", "今天天气好我们去公 OK吗", "Привет, дела?"],
    "swap_words": [
        "The film, a “quite” mess,\n isn't it worth - really?",
        "今天天气很好，我们去公园 吗OK？",
        "как Привет, дела?",
    ],
    "drop_chars": ["Te film, “uie” a mes,\n sn't woth i - relly?", "今天气很，我去公园 OK？", "ет, как дел?"],
    "swap_chars": [
        "Teh iflm, “qiute” a emss,\n sin't owrth it - eralyl?",
        "天今天很气好，我们去园公 OK吗？",
        "Пирвет, кка длеа?",
    ],
    "misspell": TEXTS[:3].tolist(),  # more words in test_spelling.py
    "mask_words": [
        "The film, \x1a \x1a mess,\n isn't \x1a \x1a - really?",
        "今\x1a天气很好，我\x1a\x1a\x1a\x1a \x1a吗？",
        "Привет, как дела?",
    ],
    "typos": [
        "Fhe gilm, “qjige” q ness,\n ksn't wirth it - dealoh?",
        "今天天气很好，我们去公园 LO吗？",
        "Прмвет, кау деле?",
    ],
}


@pytest.mark.parametrize("strength", STRENGTHS)
def test_views_are_what_they_always_were(strength):
    assert view(TEXTS[:3], KEYS[:3], **{strength: 0.3}) == GOLDEN[strength]


def test_a_view_depends_on_key_and_number_alone():
    order = [3, 0, 6, 2, 1, 5, 4]
    views = view(**ALL)
    assert view(TEXTS[order], KEYS[order], **ALL) == [views[row] for row in order]
    assert view(TEXTS[3:4], KEYS[3:4], **ALL) == views[3:4]
    assert view(number=1, **ALL) != views != view(keys=KEYS + np.uint64(1), **ALL)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_no_text_loses_its_words_or_its_columns(strength):
    most = 1 if strength == "crop" else 0.5
    for number in range(50):
        for text, changed in zip(TEXTS, view(number=number, **{strength: most}), strict=True):
            assert bool(changed.strip()) == bool(text.strip())
            assert changed.count(SEPARATOR) == text.count(SEPARATOR)


def test_words_are_left_out_and_swapped_as_often_as_asked():
    words = [f"w{number}" for number in range(5000)]
    (dropped,) = view(np.array([" ".join(words)], object), KEYS[:1], drop_words=0.3)
    assert len(dropped.split()) / 5000 == pytest.approx(0.7, abs=0.03)
    assert dropped.split() == sorted(dropped.split(), key=words.index)
    (swapped,) = view(np.array([" ".join(words)], object), KEYS[:1], swap_words=0.1)
    moved = [new.strip() != old for new, old in zip(swapped.split(), words, strict=True)]
    assert np.mean(moved) == pytest.approx(2 * 0.1 / 1.1, abs=0.03) and sorted(swapped.split()) == sorted(words)
    assert max(abs(place - int(word[1:])) for place, word in enumerate(swapped.split())) == 1


def test_words_are_hidden_as_often_as_asked_and_never_all():
    text = " ".join(f"w{number}" for number in range(5000))
    (hidden,) = view(np.array([text], object), KEYS[:1], mask_words=0.15)
    assert hidden.split(" ").count(MASKED) / 5000 == pytest.approx(0.15, abs=0.02)
    kept = [(old, new) for old, new in zip(text.split(), hidden.split(" "), strict=True) if new != MASKED]
    assert all(old == new for old, new in kept)
    for number in range(50):
        (changed,) = view(np.array(["two words"], object), KEYS[:1], number, mask_words=0.5)
        assert changed.count(MASKED) < 2


def test_words_stay_in_their_column():
    columns = [["a", "b", "c"], ["x", "y"]]
    text = SEPARATOR.join(map(" ".join, columns))
    for number in range(30):
        (changed,) = view(np.array([text], object), KEYS[:1], number, swap_words=0.5, swap_chars=0.5)
        assert [sorted(column.split()) for column in changed.split(SEPARATOR)] == columns


def test_a_crop_is_a_run_of_words():
    words = [str(number) for number in range(100)]
    texts = np.array([" ".join(words)] * 300, object)
    lengths, starts = set(), set()
    for cropped in view(texts, randomness.key(1, np.arange(300, dtype=np.uint64)), crop=0.25):
        assert cropped in " ".join(words)
        lengths.add(len(cropped.split()))
        starts.add(int(cropped.split()[0]))
    assert min(lengths) == 76 and max(lengths) == 100 and min(starts) == 0 and max(starts) > 10


def test_typos_are_keys_beside_in_the_same_case():
    (typed,) = view(np.array(["S" * 500 + "s" * 500 + "7é字" * 100], object), KEYS[:1], typos=0.5)
    changed = {letter for letter in typed[:1000] if letter not in "Ss"}
    assert changed == set("WEADZXweadzx") and typed[:500].isupper() and typed[500:1000].islower()
    assert typed[1000:] == "7é字" * 100


def test_words_and_gaps_give_back_the_text():
    for text in TEXTS:
        assert pieces.join(*pieces.split(text)) == text
    words, gaps = pieces.split("a  b, 中文\x1e c")
    assert words == ["a", "b,", "中", "文", "c"] and gaps == ["", "  ", " ", "", "\x1e ", ""]
    assert pieces.join(words, gaps, [False, True, False, True, False]) == "b, 文\x1e"
    assert not pieces.is_spaceless(["한국어", "문장"]) and pieces.is_spaceless(["日", "本", "a"])
