import dataclasses
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Project
from test_comparison import whole

from stages import compare
from stages.lib import comparison
from stages.lib.errors import UserError

MARK = "<!-- kiln: comparison -->"


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory):
    """The trained project on its branch main, committed, with a clone's bare origin beside it."""
    folder = tmp_path_factory.mktemp("compare") / "project"
    shutil.copytree(trained.folder, folder, symlinks=True)
    project = Project.at(folder)
    project.commit("main")
    project.run("git", "clone", "-q", "--bare", str(folder), str(folder.parent / "origin.git"))
    project.run("git", "remote", "add", "origin", str(folder.parent / "origin.git"))
    project.run("git", "fetch", "-q", "origin")
    return project


@pytest.fixture(scope="module")
def hurt(finished):
    """A branch with a param that hurts, reproduced and committed."""
    return branch(finished, "hurt", train__epochs=1, train__lr=0.0002)


@pytest.fixture(scope="module")
def reseeded(finished):
    """A branch with another seed of training."""
    return branch(finished, "reseeded", train__seed=1)


def branch(project: Project, name: str, **changes) -> str:
    project.run("git", "switch", "-q", "-c", name, "main")
    project.set(**changes)
    project.dvc("repro")
    project.commit(name)
    project.run("git", "push", "-q", "origin", name)
    project.run("git", "switch", "-q", "main")
    return name


def clone(project: Project, name: str, folder) -> Project:
    """Clone a branch from the bare origin: no cache, no data."""
    subprocess.run(
        ["git", "clone", "-q", "-b", name, str(project.folder.parent / "origin.git"), str(folder)], check=True
    )
    return Project.at(folder)


def pull_request(project: Project) -> tuple[int, str, str]:
    done = project.run(".ci/pull-request", "origin/main", "comment.md", check=False)
    text = (project.folder / "comment.md").read_text()
    assert text.startswith(MARK)
    return done.returncode, text, done.stderr


def test_a_param_that_hurts_is_red_and_said_to_be_beyond_noise(finished, hurt, tmp_path):
    code, text, errors = pull_request(clone(finished, hurt, tmp_path / "clone"))
    assert code == 1
    assert re.search(r"test.accuracy went from 0.9\d+ to 0.\d+, worse by 0.\d+, where 0.02 is allowed, beyond", errors)
    assert "**May not be merged:**" in text and "beyond test-sample noise" in text
    assert "by the two intervals" in text  # a clone without a remote has no predictions
    assert "| train.epochs | 20 | 1 |" in text
    assert "### Classes that changed beyond noise" in text
    assert "dvc.lock` is not current" not in text


def test_another_seed_is_within_noise_by_the_predictions_in_the_cache(finished, reseeded):
    finished.run("git", "switch", "-q", reseeded)
    try:
        finished.dvc("checkout", "-q")
        done = finished.stage("compare")
    finally:
        finished.run("git", "switch", "-q", "main")
        finished.dvc("checkout", "-q")
    assert "McNemar's exact test" in done.stdout and "within test-sample noise" in done.stdout
    assert "**May be merged:**" in done.stdout
    assert "| train.seed | 0 | 1 |" in done.stdout


def test_predictions_of_another_commit_are_not_taken_for_the_present_ones(finished, hurt):
    finished.run("git", "switch", "-q", hurt)  # and no dvc checkout: main's predictions lie there
    try:
        done = finished.stage("compare", "main", check=False)
    finally:
        finished.run("git", "switch", "-q", "main")
    assert done.returncode == 1
    assert "beyond test-sample noise: by the two intervals" in done.stdout


def test_a_base_that_is_damaged_is_no_fault_of_the_present(finished, tmp_path):
    project = clone(finished, "main", tmp_path / "clone")
    project.run("git", "switch", "-q", "-c", "broken")
    (project.folder / "params.yaml").write_text("a: [")
    project.commit("broken")
    project.run("git", "switch", "-q", "main")
    done = project.stage("compare", "broken", check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr


def test_a_table_with_marks_of_a_conflict_is_one_sentence(finished, tmp_path):
    project = clone(finished, "main", tmp_path / "clone")
    path = project.folder / "metrics/plots/history.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "<<<<<<< HEAD", *lines[3:]]) + "\n")
    done = project.stage("compare", "main", check=False)
    assert done.returncode == 1 and "history.csv in the working tree is damaged" in done.stderr


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("metrics.json", b"{", b"\xff\xfe{", "metrics.json of the working tree is cut off or no JSON"),
        ("plots/per_class.csv", b"recall_low", b"lowest", "per_class.csv in the working tree is damaged"),
        ("plots/confusion.csv", b"images", b"\xff", "confusion.csv in the working tree is damaged"),
    ],
)
def test_a_file_of_other_bytes_or_columns_is_one_sentence(tmp_path, monkeypatch, path, old, new, said):
    shutil.copytree(ROOT / "metrics", tmp_path / "metrics")
    monkeypatch.chdir(tmp_path)
    assert compare.working_tree().metrics["test.images"] > 0
    damaged = tmp_path / "metrics" / path
    damaged.write_bytes(damaged.read_bytes().replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        compare.working_tree()


def test_a_remote_gives_the_predictions_to_a_fresh_clone(finished, reseeded, tmp_path):
    for name in ("main", reseeded):
        finished.run("git", "switch", "-q", name)
        finished.dvc("checkout", "-q")
        finished.dvc("remote", "add", "-q", "-f", "--local", "-d", "store", str(tmp_path / "store"))
        finished.dvc("push", "-q")
    finished.run("git", "switch", "-q", "main")
    finished.dvc("checkout", "-q")
    finished.dvc("remote", "remove", "--local", "store")
    project = clone(finished, reseeded, tmp_path / "clone")
    project.dvc("remote", "add", "-q", "--local", "-d", "store", str(tmp_path / "store"))
    code, text, errors = pull_request(project)
    assert code == 0, errors
    assert "McNemar's exact test" in text and "**May be merged:**" in text


def test_a_stale_lock_is_red(finished, tmp_path):
    project = clone(finished, "main", tmp_path / "clone")
    project.set(train__lr=0.5)
    project.commit("forgot to reproduce")
    code, text, errors = pull_request(project)
    assert code == 1
    assert "`dvc.lock` is not current" in text and "run dvc repro and commit" in errors
    assert "(train" in errors and "would run)" in errors


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (None, "metrics/metrics.json is missing"),
        ('{"test": {"accuracy": NaN}}', "holds NaN, which is no figure"),
        ('{"test": {"accuracy": 1}}', "lacks train.images and"),
        ('{"test": {"accur', "is cut off or no JSON"),
    ],
)
def test_metrics_that_are_missing_or_damaged_are_red(finished, damage, said, tmp_path):
    project = clone(finished, "main", tmp_path / "clone")
    path = project.folder / "metrics/metrics.json"
    path.unlink()
    if damage:
        path.write_text(damage)
    project.commit("damage")
    code, text, errors = pull_request(project)
    assert code == 1
    assert said in errors and said in text and "May be merged" not in text


def test_a_page_side_by_side_loads_nothing(finished, hurt, tmp_path):
    project = clone(finished, hurt, tmp_path / "clone")
    done = project.stage("compare", "origin/main", "--html", "page.html", check=False)
    assert done.returncode == 1
    page = (project.folder / "page.html").read_text()
    assert page.count('class="matrix"') == 2 and "May not be merged" in page
    assert not re.search(r'(src|href)="(?!data:)', page) and "<script" not in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere"], "there is no commit 'nowhere'"), (["--", "--output=x"], "there is no commit '--output=x'")],
)
def test_a_base_that_is_none_is_one_sentence(finished, arguments, said):
    done = finished.stage("compare", *arguments, check=False)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not (finished.folder / "x").exists()


def test_outside_of_git(finished, tmp_path):
    for name in ("stages", "metrics"):
        shutil.copytree(finished.folder / name, tmp_path / name)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    project = Project.at(tmp_path)
    project.environment["GIT_CEILING_DIRECTORIES"] = str(tmp_path.parent)
    done = project.stage("compare", check=False)
    assert done.returncode == 1 and "in no git repository" in done.stderr


HOSTILE = ["<img src=x onerror=alert(1)>", "a|b", "`c`", "[d](http://e)", "日本語", "f" * 200, "g\nh", "@someone #1"]


class Tags(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)


def hostile() -> compare.Comparison:
    def state(shift: float) -> compare.State:
        classes = pd.DataFrame({"class": HOSTILE, "support": 100})
        for name in ("precision", "recall", "f1"):
            value = 0.9 - shift
            classes = classes.assign(**{name: value, f"{name}_low": value - 0.01, f"{name}_high": value + 0.01})
        columns = ("epoch", "loss", "validation_loss", "accuracy", "validation_accuracy")
        confusion = pd.DataFrame({"label": HOSTILE, "prediction": HOSTILE[::-1], "images": 3, "share": 1.0})
        tables = {compare.HISTORY: pd.DataFrame({key: [1, 2] for key in columns}), compare.CONFUSION: confusion}
        params = {"report": {"title": f"{HOSTILE[0]}|{shift}"}}
        return compare.State(params, whole(test__accuracy=0.5 - shift), classes, tables)

    base, now = state(0.0), state(0.3)
    listed = comparison.changes(base.metrics, now.metrics, None)
    return compare.Comparison("0123456789ab", base, now, listed, None, [f"{HOSTILE[0]} | failed"])


def grouped(**changes) -> compare.Comparison:
    """A comparison of 600 test images in 20 groups; ``changes`` replace parts of it."""
    found = hostile()
    counts = {"test.images": 600, "test.units": 20}
    base, now = (dataclasses.replace(side, metrics={**side.metrics, **counts}) for side in (found.base, found.now))
    return dataclasses.replace(found, base=base, now=now, **changes)


def test_groups_are_said_with_the_test_that_knows_them():
    text = compare.describe(grouped(test=comparison.McNemar(1, 30, 0.5, units=20)))
    assert "the exact sign-flip test over 20 groups of 600 images" in text and "p = 0.5" in text
    assert "1 that the base got right is wrong now" in text
    assert "The intervals resample 20 groups of 600 images." in text
    assert "groups" not in compare.describe(hostile())
    assert "The intervals resample 20 groups" in compare.side_by_side(grouped())


def test_intervals_of_an_earlier_base_are_said_to_be_others():
    found = grouped()
    del found.base.metrics["test.units"]
    text = compare.describe(found)
    assert "Those of the base are of an earlier Kiln" in text and "earlier" not in compare.describe(grouped())


def test_equal_accuracies_and_an_empty_gate_are_called_so():
    found = grouped(failures=[])
    same = [dataclasses.replace(change, now=change.base, beyond=False) for change in found.listed]
    text = compare.describe(dataclasses.replace(found, listed=same))
    assert "Test accuracy is 50.00% as before, within test-sample noise" in text
    assert "sets no floor and no largest drop" in text
    found.now.params["compare"] = {"floors": {"test.accuracy": 0.1}, "drops": {}}
    assert "every floor and largest drop of `compare` in params.yaml is kept" in compare.describe(found)


def test_a_drop_that_could_not_be_checked_is_not_said_to_be_kept():
    found = grouped(failures=[])
    found.now.params["compare"] = {"drops": {"test.accuracy": 0.9, "test.f|": 0.1}}
    for base in (found.base, None):
        part = dataclasses.replace(found, base=base, listed=found.listed if base else [])
        text = compare.describe(part)
        assert "that can be checked is kept. Not checked" in text
        unchecked = "test.f&#124;" if base else "test.accuracy, test.f&#124;"
        assert f"has no such figure: the drop of {unchecked}." in text


def test_classes_that_one_side_lacks_were_not_compared():
    found = grouped(failures=[])
    found = dataclasses.replace(found, base=dataclasses.replace(found.base, classes=found.base.classes.head(3)))
    assert "Recall and precision of 3 classes were compared" in compare.describe(found)


def test_a_figure_that_is_neither_better_nor_worse_has_changed():
    change = comparison.Change("test_calibrated.temperature", 1.0, 3.0, True)
    assert compare._judged(change) == "changed, beyond noise"


def test_predictions_of_an_earlier_kiln_are_read(monkeypatch):
    rows = {"id": ["a"], "split": ["test"], "unit": ["u"], "label": ["x"], "prediction": ["x"], "probability": [1.0]}
    for wanted in (list(rows), [name for name in rows if name != "unit"]):
        file = io.BytesIO()
        pq.write_table(pa.table({name: rows[name] for name in wanted}), file)
        content = file.getvalue()

        class Stored:
            def __init__(self, rev):
                pass

            def open(self, path, content=content):
                return io.BytesIO(content)

        monkeypatch.setattr("dvc.api.DVCFileSystem", Stored)
        assert compare.predictions(None).columns.tolist() == [name for name in wanted if name != "probability"]


def test_names_do_no_harm_in_markdown():
    text = compare.describe(hostile())
    assert "<" not in text.replace("&lt;", "")
    assert "onerror=alert(1)" in text and "日本語" in text
    for word in ("a|b", "`c`", "[d]", "@someone", "f" * 100):
        assert word not in text
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert sum(line.startswith("| ") and "| recall |" in line for line in text.splitlines()) == len(HOSTILE)


def test_names_do_no_harm_on_the_page():
    page = compare.side_by_side(hostile())
    assert "<img src=x" not in page
    allowed = ["html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "section", "div", "figure"]
    allowed += ["table", "thead", "tbody", "tr", "th", "td", "caption", "img"]
    assert Tags(page).tags <= set(allowed)
