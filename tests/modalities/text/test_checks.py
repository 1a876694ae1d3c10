import numpy as np
import pytest
from makers.texts import as_array, prose

from kiln.modalities.text import checks, decoding
from kiln.params.text import Clean


def repetition(*texts: str) -> list[float]:
    return checks.measure(as_array(texts))["repetition"].tolist()


def test_known_repetition():
    # 93 runs of one kind; 43 runs of 5 kinds; a sentence twice: 37 of 82 runs for the second time.
    assert repetition("a" * 100) == pytest.approx([92 / 93])
    assert repetition("good " * 10) == pytest.approx([38 / 43])
    sentence = "the quick brown fox jumps over the lazy dog. "
    assert repetition(sentence * 2)[0] == pytest.approx(1 - 45 / 83)


def test_prose_of_any_length_and_script_does_not_repeat():
    generator = np.random.default_rng(0)
    han = "".join(map(chr, generator.integers(0x4E00, 0x5200, 3000)))
    assert max(repetition(prose(0, 12), prose(0, 60), han[:40], han)) < 0.2


def test_short_texts_are_not_judged():
    assert np.isnan(repetition("", "haha", "no no no no")).all()


def test_every_check_has_its_measure_and_its_knobs():
    known = {*decoding.FACTS, *checks.measure(as_array(["a"]))}
    fields = Clean.model_fields
    assert all(check.measure in known and check.threshold in fields for check in checks.CHECKS.values())
    assert all(fields[reason].default == "flag" for reason in checks.CHECKS) and set(checks.SLICES) <= known
