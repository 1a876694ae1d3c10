"""What the report and the model card say of evidence from which little can be concluded."""

import dataclasses
import html
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from makers import evidence as made_up
from makers.evidence import UNEVEN, make_evidence, show, some_evidence
from makers.pages import EVIL, read

from kiln.evaluation import scoring
from kiln.reporting import card, charts, rendering, sections
from kiln.reporting.evidence import Evidence


def write(name: str, evidence: Evidence) -> str:
    """The text of a section."""
    return read(rendering.fill_html(name, getattr(sections, name)(evidence)))


def everything(evidence: Evidence) -> str:
    return " ".join(write(name, evidence) for name in NAMES)


NAMES = ("summary", "data", "findings", "augmentation", "learning", "metrics", "calibration", "confusion", "classes")
NAMES += ("slices", "robustness", "mistakes", "successes", "card")


RIGHT = make_evidence([0, 1, 2] * 20, [0, 1, 2] * 20)
BY_CLASS = make_evidence([0] * 10 + [1] * 10 + [2] * 5, [0] * 10 + [0] * 10 + [2] * 5)
EMPTY = make_evidence([0] * 10 + [1] * 10, [0] * 9 + [1] * 11)
ONE = make_evidence([0, 1], [0, 0])


LONE, LOST, WRONG = make_evidence([0], [0]), make_evidence([0], [1]), make_evidence([0, 1, 2] * 4, [1, 2, 0] * 4)


@pytest.mark.parametrize("evidence", [RIGHT, BY_CLASS, EMPTY, ONE, LONE, LOST, WRONG])
def test_nothing_is_said_in_a_wrong_number_or_with_a_range_of_no_width(evidence):
    text = everything(evidence)
    assert not re.search(
        r"(?<![\d.,])1 (?!of\b)"
        r"(images|findings|labels|views|epochs|groups|classes|test images|parameters|multiply-adds|medium corr\w+s)\b",
        text,
    )
    assert not re.search(r"(\d[\d.]*%?) to \1(?![\d.%])", text)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert not re.search(r"\b0\.0{4,}%", text)


def test_names_of_classes_come_out_of_every_section_and_of_the_card_as_they_are(monkeypatch):
    names = ['bird\'s nest & "co"', "<img src=x onerror=alert(1)>", "a|b_*`c`"]
    monkeypatch.setattr(made_up, "CLASSES", names)
    evidence = make_evidence([0, 1, 2] * 4, [1, 2, 0] * 4)
    page_ = "".join(rendering.fill_html(name, getattr(sections, name)(evidence)) for name in NAMES)
    card_ = rendering.fill_markdown("card", card.gather(evidence))
    assert "<img src=x" not in page_ + card_
    for name in names:
        assert read(page_).count(name) > 10
        assert html.unescape(card_).count(name) == 2  # among the classes, and among the weakest


def test_recalls_of_0_and_1_alone_are_no_certainty():
    text = write("summary", BY_CLASS)
    assert "it gets 10 wrong" in text
    tile = re.search(r"Test recall \(macro\) 66.7% 95 % interval ([\d.]+)% to ([\d.]+)%", text)
    assert float(tile[1]) < 60 and float(tile[2]) > 70
    assert "its weakest class is “b”, of which it finds 0.0% of 10 images" in text


def test_all_right_is_no_certainty_either():
    text = write("summary", RIGHT)
    assert "it gets none wrong; it finds every test image of every class" in text
    assert text.count("100% 95 % interval 9") == 3  # 94 to 100 %, and the like
    assert "No mistakes: all 60 test images are right." in write("confusion", RIGHT)
    assert write("mistakes", RIGHT) == "Surest mistakes None: all 60 test images are right."
    text = write("card", RIGHT)
    assert "no class is known to be weak" in text and "weakest classes" not in text


def test_mistakes_that_are_not_shown_are_not_said_to_be_none():
    text = write("mistakes", make_evidence([0, 1], [0, 0], exhibits=ONE.exhibits.head(0)))
    assert "None" not in text and "Not shown: evaluate.mistakes is 0" in text


def test_a_class_without_test_images_is_named():
    assert "; 1 class has no test image" in write("summary", EMPTY)
    assert "Nothing is known about 1 class without a test image: c." in write("card", EMPTY)
    assert "no image" in write("classes", EMPTY) and "no test image" in write("classes", EMPTY)
    assert "none predicted as it" in write("classes", BY_CLASS)


def test_nothing_is_said_of_every_class_where_some_have_no_test_image():
    for evidence, said in ((LONE, "it finds every test image of every class"), (LOST, "it finds 0.0% of every class")):
        assert f"{said} that has some; 2 classes have no test image." in write("summary", evidence)
    assert "that has some" not in write("summary", RIGHT) + write("summary", WRONG)
    text = write("card", LONE)
    assert "Every test image is found, so no class is known" in text and "of every class" not in text


def test_one_image_rules_no_temperature_out():
    assert "95 % interval any at all" in write("calibration", LONE)


def test_where_no_copy_was_found_none_is_counted():
    clean = {**RIGHT.clean, "leaks": 0, "corrected": 0}
    text = write("findings", make_evidence([0, 1], [0, 1], clean=clean))
    assert "No copy of a given test or validation image was found" in text and "0 found" not in text
    assert "The worst of each" not in text  # there is no picture


def test_where_nothing_is_flagged_copies_that_stay_are_still_reported():
    clean = {**RIGHT.clean, "flagged": dict.fromkeys(RIGHT.clean["flagged"], 0), "leaks_kept": 3}
    text = write("findings", make_evidence([0, 1], [0, 1], clean=clean))
    assert "Nothing: no image was set aside and none flagged. Copies of given test" in text
    assert "3 found, 0 set aside" in text and "1 label was corrected" in text
    quiet = {**clean, "leaks": 0, "leaks_kept": 0, "corrected": 0}
    assert write("findings", make_evidence([0, 1], [0, 1], clean=quiet)).endswith("none flagged.")


def test_accuracy_that_is_the_confidence_is_not_said_to_differ():
    assert "they are alike in every bin" in charts.draw_reliability([0.5, 0.901], [0.5, 0.899], "t")["alt"]
    assert (
        "they differ most at confidence 0.90, accuracy 1.00"
        in charts.draw_reliability([0.5, 0.9], [0.5, 1.0], "t")["alt"]
    )


def test_equal_classes_are_not_ranked():
    alike = make_evidence([0, 1, 2] * 10, ([0, 1, 2] * 9) + [1, 2, 0])
    assert "it finds 90.0% of every class" in write("summary", alike)
    two = make_evidence([0, 1, 2] * 10, ([0, 1, 2] * 9) + [1, 2, 2])
    assert "its 2 weakest classes, “a” among them, are found at 90.0%" in write("summary", two)


def test_findings_are_counted():
    assert "made 1 finding on the others: a label" in write("summary", RIGHT)
    clean = {**RIGHT.clean, "flagged": dict.fromkeys(RIGHT.clean["flagged"], 0)}
    assert "found nothing to flag" in write("summary", make_evidence([0, 1], [0, 1], clean=clean))


def test_groups_are_said_where_there_are_some():
    groups = make_evidence([0, 1, 2] * 20, [0, 1, 2] * 20, units=np.repeat(np.arange(5), 12))
    for name in ("summary", "metrics", "card"):
        assert "5 groups of 60 images" in write(name, groups), name
    assert "group" not in write("summary", RIGHT) and "60 images" in write("metrics", RIGHT)
    assert "resample 5 groups of 60 images" in rendering.fill_markdown("card", card.gather(groups))
    line = scoring.describe({"test": groups.scores["test"]}, "image")
    assert line.endswith("by 5 groups of 60 images")
    low = [float(re.search(r"interval ([\d.]+)%", write("summary", found))[1]) for found in (groups, RIGHT)]
    assert low[0] < 60 < low[1]


def test_a_temperature_within_chance_of_1_is_not_called_too_sure():
    honest = make_evidence([0] * 30, [0] * 27 + [1] * 3, confidence=0.89)
    assert "neither too sure nor too cautious beyond chance" in write("calibration", honest)
    assert "neither too sure" in write("card", honest)
    sure = make_evidence([0] * 30, [0] * 20 + [1] * 10, confidence=0.99)
    assert "surer than it should be" in write("calibration", sure)
    cautious = make_evidence([0] * 90, [0] * 90, confidence=0.6)
    text = write("calibration", cautious)
    assert "less sure than it could be" in text and "or less" in text
    hopeless = make_evidence([0, 1, 2] * 4, [1, 2, 0] * 4, confidence=0.5)
    assert "or more" in write("calibration", hopeless)


def test_a_corruption_that_costs_nothing_hurts_not_most():
    text = write("summary", RIGHT)
    assert "hurt" not in text
    table = pd.DataFrame(
        {"corruption": ["none", "noise", "blur"], "strength": ["none", "medium", "medium"], "accuracy": [1, 0.5, 0.5]}
    ).assign(low=[0.9, 0.4, 0.4], high=[1, 0.6, 0.6])
    text = write("summary", make_evidence([0, 1, 2] * 20, [0, 1, 2] * 20, robustness=table))
    assert "noise and blur hurt most: 50.0% right" in text


def test_copies_that_stay_across_splits_stand_in_the_first_lines():
    leaky = make_evidence([0, 1, 2], [0, 1, 2])
    assert "stay in the splits" not in write("summary", leaky)
    leaky.clean["leaks_kept"] = 2
    text = write("summary", leaky)
    assert "2 copies of test or validation images stay in the splits below them" in text and "too good" in text
    leaky.clean["leaks_kept"] = 1
    assert "1 copy of test or validation images stays" in write("summary", leaky)
    assert "3 found, 2 set aside" in write("findings", leaky)


def test_the_data_section_says_who_made_the_splits_and_what_they_lack():
    text = rendering.fill_html("data", sections.data(some_evidence(UNEVEN)))
    assert "Validation: drawn by Kiln from train. Test: given by the source." in text
    assert re.search("validation</td><td[^>]*>ill</td><td>0</td>", text) and ">12.1</td>" in text and EVIL not in text
    assert "Classes that a split lacks" not in write("data", some_evidence())


def test_two_proportions_are_compared_as_in_the_textbook():
    # 60 of 100 and 75 of 150: z = 0.1 / sqrt(0.54 * 0.46 * (1 / 100 + 1 / 150)) = 1.554, two-sided 0.12.
    assert sections.compare_shares((0.6, 100), (0.5, 150)) == pytest.approx(0.1202, abs=1e-4)
    assert sections.compare_shares((0.9, 100), (0.9, 50)) == 1
    assert sections.compare_shares((1.0, 20), (0.8, 20)) == 1  # too few wrong ones to say


def test_two_proportions_are_as_often_wrong_as_they_say():
    generator = np.random.default_rng(0)
    pairs = generator.binomial([400, 900], 0.85, (4000, 2)) / [400, 900]
    wrong = np.mean([sections.compare_shares((a, 400), (b, 900)) < 0.05 for a, b in pairs])
    assert 0.04 < wrong < 0.06


def test_validation_and_test_that_differ_by_more_than_chance_are_reported():
    def said(**changes):
        found = sections.data(some_evidence(accuracy=(0.95, 0.85), **changes))
        html_ = " ".join(rendering.fill_html("data", found).split())
        return re.findall("<p>(Accuracy differs[^<]*)</p>", html_)

    (sentence,) = said()
    assert sentence.startswith("Accuracy differs between validation, 95.0%, and test, 85.0%, by more than chance (p = ")
    assert "They were not drawn from the same images" in sentence
    assert "Both were drawn from the same images" in said(given=None)[0]
    # As many images, but of a few patients: nothing is claimed.
    assert said(effective=(60.0, 60.0)) == []
    assert "Accuracy differs" not in write("data", some_evidence(accuracy=(0.91, 0.90)))


def describe_mistakes(*exhibits: dict, inputs=("image",)) -> str:
    wrong = {"id": "i", "label": "a", "prediction": "b", "probability": 0.9, "shown": list(exhibits), "neighbours": []}
    evidence = SimpleNamespace(
        exhibits=pd.DataFrame([wrong]),
        scores={"test": {"samples": 9, "accuracy": 0.9}},
        settings=SimpleNamespace(inputs=dict.fromkeys(inputs, "image")),
        noun="image",
    )
    return rendering.fill_html("mistakes", sections.mistakes(evidence))


@pytest.mark.parametrize("titles", [("sample", "occlusion"), ("sample", "occlusion", "grad_cam")])
def test_the_report_says_where_there_is_no_grad_cam(titles):
    text = read(describe_mistakes(*show(*titles)))
    assert ("There is no Grad-CAM: this network has no feature maps near its end." in text) == (len(titles) == 2)
    assert ("in the last feature maps" in text) == (len(titles) == 3)


def test_every_part_of_a_sample_is_shown_and_explanations_are_read_once():
    left, right = (show("sample", "occlusion", part=part) for part in ("left", "right"))
    html_ = describe_mistakes(*left, *right, inputs=("left", "right"))
    assert html_.count("<img") == 4
    assert read(html_).count("There is no Grad-CAM") == read(html_).count("Red is where hiding a patch") == 1


def learnt(task: str, written: list[str], section: str = "learning") -> str:
    """The HTML of a section after an invented pretraining."""
    made = make_evidence([0, 1, 2] * 10, [0, 1, 2] * 10)
    about = {"task": task, "epochs": 2, "samples": 1200, "losses": [6.5, 3.25], "written": written}
    made = dataclasses.replace(made, train={**made.train, "pretraining": about})
    return rendering.fill_html(section, getattr(sections, section)(made))


def test_what_was_learnt_without_labels_is_told_and_what_the_model_wrote_is_escaped():
    page = " ".join(learnt("next", [EVIL, "a text …"]).split())
    assert "2 epochs over 1,200 images, on each next token: its loss per token went from 6.5000" in page
    assert "Written by the model" in page and "are not true, and may repeat what it read" in page
    assert page.count("<li") == 2 and EVIL not in page and "<script" not in page
    card_ = " ".join(learnt("next", [], "card").split())
    assert "pretrained without labels for 2 epochs over 1,200 images. Then came 1 epoch" in card_
    assert "on hidden tokens" in learnt("masked", []) and "Written by" not in learnt("masked", [])
    made = make_evidence([0, 1, 2] * 10, [0, 1, 2] * 10)
    assert "retrain" not in write("learning", made)


def test_samples_without_labels_are_counted_with_what_was_set_aside():
    made = some_evidence()
    assert "without labels" not in write("data", made)
    made.clean["unlabelled"] = {"samples": 1200, "kept": 1197, "set_aside": {"copy_of_held_out": 2, "undecodable": 1}}
    page = write("data", made)
    assert "1,200 images without labels came besides; 1,197 may be used for pretraining" in page
    assert "2 were set aside: copies of validation or test, which no model may see before its test" in page
    assert "1 was set aside: undecodable." in page


SCOPE = {"samples": 30, "units": 30, "outside": 9, "auroc": 0.9, "fpr95": 0.25, "in_scope_accuracy": 0.8}
SCOPE |= {f"{name}_ci95": {"low": 0.1, "high": 0.95} for name in ("auroc", "fpr95", "in_scope_accuracy")}


def test_a_class_out_of_scope_is_in_report_and_card_where_it_is_named():
    made = make_evidence([0, 1, 2] * 10, [0, 1, 2] * 10)
    evaluate = made.settings.evaluate.model_copy(update={"out_of_scope": "c"})
    named = make_evidence(
        [0, 1, 2] * 10,
        [0, 1, 2] * 10,
        settings=made.settings.model_copy(update={"evaluate": evaluate}),
        scores={**made.scores, "out_of_scope": SCOPE},
    )
    assert "class c stands for what is out of scope: 9 test images of 30, 1 in train" in write("metrics", named)
    card_ = rendering.fill_markdown("card", card.gather(named))
    assert "images of the class c (9)" in card_ and "95 % of the rest pass, 25.0% of them pass too (10.0% to" in card_
    for text in (write("metrics", made), rendering.fill_markdown("card", card.gather(made))):
        assert "scope" not in text and "should not know" not in text


@pytest.mark.parametrize(
    ("score", "shown"), [(1.0, "Copies: 100% of"), (0.9997, "Copies: 99.97% of"), (0.9, "Copies: 90% of")]
)
def test_texts_are_the_same_only_where_nothing_is_rounded(score, shown):
    row = {"reason": "near_duplicate", "score": score, "detail": ""}
    assert sections.describe_finding(row, {"text": "text"}).startswith(shown)


def test_a_finding_without_a_score_is_described():
    row = {"reason": "encoding", "score": float("nan"), "detail": "1 control character removed"}
    assert sections.describe_finding(row, {"text": "text"}) == "Readable, but 1 control character removed"
