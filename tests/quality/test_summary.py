import pytest
from makers.samples import examined, facts_of, parts_of

from kiln.quality import summary

PARTS = parts_of("image")
ROWS = [("ab"[i % 2], None, f"{i}", None) for i in range(100)]
ROWS += [("ill", None, f"p{i}", "one patient") for i in range(9)]
ROWS += [(label, "test", f"t{label}{i}", None) for label in "ab" for i in range(20)]


def summarize(result, parts=PARTS, sampled=()) -> dict:
    return summary.summarize(result, summary.count_kept(result), parts, list(sampled))


def test_what_the_splits_lack_and_who_made_them_is_reported(monkeypatch):
    summarized = summarize(examined(facts_of(ROWS), set(), monkeypatch))
    assert summarized["split_makers"] == {
        "train": "given by the source, less what Kiln drew",
        "validation": "drawn by Kiln from train",
        "test": "given by the source",
    }
    assert summarized["effective"] == {"train": round(99**2 / (90 + 81), 1), "validation": 10.0, "test": 40.0}
    assert summarized["uneven"] == [
        {"split": "validation", "class": "ill", "samples": 0, "expected": 0.9},
        {"split": "test", "class": "ill", "samples": 0, "expected": 2.4},
    ]
    line = summary.describe(summarized)
    assert "10 validation, 40 test; no validation image of ill; no test image of ill; set aside" in line


def test_parts_counts_and_reasons(monkeypatch):
    facts = facts_of(ROWS).assign(contrast=[0.0] * 2 + [50.0] * 147, notes=[None] * 2 + ["x is broken"] + [None] * 146)
    summarized = summarize(examined(facts, set(), monkeypatch), sampled=["a"])
    assert (summarized["samples"], summarized["kept"], summarized["sampled"]) == (149, 147, ["a"])
    assert summarized["near_duplicate_score"] == {"image": 0.65}
    assert summarized["set_aside"]["constant"] == 2 and summarized["flagged"]["metadata"] == 1
    assert list(summarized["set_aside"]) == list(summarized["flagged"])
    assert summarized["by_class"] == {"set_aside": {"constant": {"a": 1, "b": 1}}, "flagged": {"metadata": {"a": 1}}}
    assert sum(map(sum, (counts.values() for counts in summarized["splits"].values()))) == 147
    conversion = {"height": 8, "width": 8, "channels": 1, "fit": "crop"}
    about = summarized["parts"]["image"]
    assert (about["modality"], about["conversion"]) == ("image", conversion)
    assert (about["description"], about["noun"]) == ("8x8 gray", "image")


@pytest.mark.parametrize(
    ("names", "begins"), [(["photo"], "149 of 149 images as 8x8 gray: "),
                          (["left", "right"], "149 of 149 samples as left 8x8 gray, right 8x8 gray: ")]
)  # fmt: skip
def test_the_line_names_images_or_samples_of_several_parts(monkeypatch, names, begins):
    summarized = summarize(examined(facts_of(ROWS), set(), monkeypatch), parts_of(*names))
    assert summary.describe(summarized).startswith(begins)
    leaky = summary.describe(summarized | {"leaks_kept": 2})
    assert f"2 COPIES OF TEST OR VALIDATION {'IMAGES' if len(names) == 1 else 'SAMPLES'} STAY in the splits" in leaky


def test_a_dry_run_says_what_the_run_would(monkeypatch):
    result = examined(facts_of(ROWS), set(), monkeypatch)
    said = summary.preview(result, PARTS, 0.2).splitlines()
    assert said[-1] == f"clean would say: {summary.describe(summarize(result))}"
    assert "no test image of ill; " in said[-1]
    contrast = [0.0 if label == "ill" else 50.0 for label, *_ in ROWS]
    said = summary.preview(examined(facts_of(ROWS).assign(contrast=contrast), set(), monkeypatch), PARTS, 0.05)
    assert "clean would stop: 9 of 149 samples would be set aside (9 constant), more than the fraction" in said
    assert said.splitlines()[-1].startswith("clean would stop: class ill has no image left for train")
