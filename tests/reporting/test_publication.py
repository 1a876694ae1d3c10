import numpy as np
import pandas as pd
from makers.evidence import UNEVEN, some_evidence
from makers.pages import EVIL

from kiln.core import files
from kiln.evaluation import scoring
from kiln.reporting import publication


def test_absent_classes_are_finite_metrics():
    some, none = (publication.gather_metrics(some_evidence(uneven))["clean"] for uneven in (UNEVEN, ()))
    assert some["classes_absent"] == {"validation": 1, "test": 1}
    assert some["classes_off_share"] == {"validation": 0, "test": 1}
    assert none["classes_absent"] == {"validation": 0, "test": 0}


def test_plot_files_hold_nothing_that_ends_a_script():
    names = ["</script><script>alert(1)</script>", EVIL, "a|b", "日本語", "NA"]
    table = publication.prepare_plot_table(pd.DataFrame({"class": names, "f1": ["1", "0.5", "0", "", "1"]}))
    assert not table["class"].str.contains("<").any()
    assert table["class"].tolist()[2:] == names[2:]
    assert table["f1"].tolist() == ["1", "0.5", "0", "", "1"]


def test_confusion_of_many_classes_stays_small_and_keeps_the_frequent_pairs(tmp_path):
    counts = np.random.default_rng(0).integers(1, 9, (100, 100)) + 90 * np.eye(100, dtype=int)
    counts[3, 7] = 50
    labels, predictions = (np.repeat(side.ravel(), counts.ravel()) for side in np.indices((100, 100)))
    names = [f'"{number}", {"n" * 50}' for number in range(100)]
    table = scoring.confusion_table(labels, predictions, names).astype(str)
    kept = publication.prepare_plot_table(table)
    files.write_csv(tmp_path / "confusion.csv", kept)
    assert (tmp_path / "confusion.csv").stat().st_size < 100_000
    # The diagonal and the frequent mistake; of the pairs with one count all or none.
    assert list(kept.index) == sorted({number * 101 for number in range(100)} | {307})
    few = table[table["samples"].astype(int) > 7]
    assert publication.prepare_plot_table(few.head(200)).equals(few.head(200))
