import dataclasses
import html
import io
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.comparisons import HOSTILE, hostile
from makers.effort import full
from makers.projects import ROOT, Project

from kiln.core.errors import UserError
from kiln.evaluation import comparison, revisions
from kiln.reporting import verdict


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory):
    """The default pipeline's results on main, with a clone's bare origin beside it."""
    return publish(trained, tmp_path_factory.mktemp("compare") / "project")


@pytest.fixture(scope="module")
def published(small, tmp_path_factory):
    """The same of the small pipeline, for all that compares no metrics."""
    return publish(small, tmp_path_factory.mktemp("published") / "project")


def publish(made: Project, folder) -> Project:
    project = made.copy(folder)
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
    project.dvc("checkout", "-q")
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
    # The first line is the whole verdict, and the only one.
    first = text.partition("\n")[0]
    assert first.startswith("**May not be merged:** " if done.returncode else "**May be merged:** ")
    assert first.endswith(verdict.MARK) and len(re.findall(r"\bmerged\b", text)) == text.count(verdict.MARK) == 1
    assert not project.run("git", "status", "--porcelain", "comment.md").stdout
    return done.returncode, text, done.stderr


@pytest.mark.full
def test_a_param_that_hurts_is_red_and_said_to_be_beyond_noise(finished, hurt, tmp_path):
    code, text, errors = pull_request(clone(finished, hurt, tmp_path / "clone"))
    assert code == 1
    assert re.search(r"test.accuracy went from 0.9\d+ to 0.\d+, worse by 0.\d+, where 0.02 is allowed, beyond", errors)
    assert "**May not be merged:**" in text and "beyond test-sample noise" in text
    assert "by the two intervals" in text  # a clone without a remote has no predictions
    assert "| train.epochs | 20 | 1 |" in text
    assert "### Classes that changed beyond noise" in text
    assert "dvc.lock is not current" not in text


@pytest.mark.full
def test_another_seed_is_within_noise_by_the_predictions_in_the_cache(finished, reseeded):
    finished.run("git", "switch", "-q", reseeded)
    try:
        finished.dvc("checkout", "-q")
        done = finished.kiln("compare")
    finally:
        finished.run("git", "switch", "-q", "main")
        finished.dvc("checkout", "-q")
    assert "McNemar's exact test" in done.stdout and "within test-sample noise" in done.stdout
    assert "**May be merged:**" in done.stdout
    assert "| train.seed | 0 | 1 |" in done.stdout


@pytest.mark.full
def test_predictions_of_another_commit_are_not_taken_for_the_present_ones(finished, hurt):
    finished.run("git", "switch", "-q", hurt)  # and no dvc checkout: main's predictions lie there
    try:
        done = finished.kiln("compare", "main", check=False)
    finally:
        finished.run("git", "switch", "-q", "main")
    assert done.returncode == 1
    assert "beyond test-sample noise: by the two intervals" in done.stdout


@pytest.mark.full
def test_a_base_that_is_damaged_is_no_fault_of_the_present(published, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    project.run("git", "switch", "-q", "-c", "broken")
    (project.folder / "params.yaml").write_text("a: [")
    project.commit("broken")
    project.run("git", "switch", "-q", "main")
    done = project.kiln("compare", "broken", check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr


def test_a_table_with_marks_of_a_conflict_is_one_sentence(published, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    path = project.folder / "metrics/plots/history.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "<<<<<<< HEAD", *lines[3:]]) + "\n")
    done = project.kiln("compare", "main", check=False)
    assert done.returncode == 1 and "history.csv in the working tree is damaged" in done.stderr


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("metrics.json", b"{", b"\xff\xfe{", "metrics.json of the working tree is truncated or not valid JSON"),
        ("plots/per_class.csv", b"recall_low", b"lowest", "per_class.csv in the working tree is damaged"),
        ("plots/confusion.csv", b"samples", b"\xff", "confusion.csv in the working tree is damaged"),
    ],
)
def test_a_file_of_other_bytes_or_columns_is_one_sentence(tmp_path, monkeypatch, path, old, new, said):
    shutil.copytree(ROOT / "metrics", tmp_path / "metrics")
    monkeypatch.chdir(tmp_path)
    assert revisions.working_tree().metrics["test.samples"] > 0
    damaged = tmp_path / "metrics" / path
    damaged.write_bytes(damaged.read_bytes().replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        revisions.working_tree()


@pytest.mark.full
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


def test_a_stale_lock_is_red(published, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    project.set(train__lr=0.5)
    project.commit("forgot to reproduce")
    code, text, errors = pull_request(project)
    assert code == 1
    assert re.match(r"\*\*May not be merged:\*\* dvc.lock is not current \(train .*would run\): run dvc repro", text)
    assert "no `dvc repro` confirms them" in text and "dvc.lock is not current" in errors


@pytest.mark.full
def test_figures_that_were_edited_by_hand_are_red(published, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    path = project.folder / "metrics/metrics.json"
    path.write_text(re.sub(r'"accuracy": 0\.\d+', '"accuracy": 0.999999', path.read_text()))
    project.commit("better")
    code, text, _ = pull_request(project)
    assert code == 1 and text.startswith("**May not be merged:** dvc.lock is not current (report would run)")


def program(folder, name: str, text: str) -> str:
    """Put a program of that name before all others; returns PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}"


def test_a_dvc_that_cannot_start_is_red_with_its_cause(published, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    said = "ERROR: configuration error - <b> **all is well** [x](http://e)"
    before = program(tmp_path / "bin", "dvc", f"echo '{said}' >&2; exit 251")
    project.environment["PATH"] = before + published.environment["PATH"]
    code, text, _ = pull_request(project)
    first = text.partition("\n")[0]
    assert code == 1 and "dvc cannot tell whether dvc.lock is current: configuration error - " in first
    assert "<b>" not in first and first.count("**") == 2


@pytest.mark.full
def test_a_comparison_that_cannot_start_is_red_with_all_reasons(published, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    project.set(train__lr=0.5)
    project.environment["PATH"] = program(tmp_path / "bin", "python", "exit 3") + published.environment["PATH"]
    code, text, _ = pull_request(project)
    assert code == 3
    assert re.match(r".* dvc.lock is not current \(.*would run\): .*; the comparison broke off, see the log", text)


def test_the_comment_lies_where_the_caller_stands_and_no_old_one_is_left(published, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    (project.folder / "comment.md").write_text("**May be merged:** an hour ago")
    command = [str(project.folder / ".ci/pull-request"), "nowhere", "comment.md"]
    for folder in (tmp_path, project.folder):
        done = subprocess.run(command, cwd=folder, env=project.environment, capture_output=True)
        assert done.returncode == 1
        assert (folder / "comment.md").read_text().startswith("**May not be merged:** there is no commit 'nowhere'")


@pytest.mark.parametrize("letters", [0, 200_000])
def test_a_comment_is_cut_at_a_line_and_its_verdict_never(letters):
    reasons = [f"{HOSTILE[0]} {'r' * 300} {number}" for number in range(40)]
    found = dataclasses.replace(hostile(), unfit=("dvc.lock is not current",), failures=reasons)
    whole_text = verdict.describe(found)
    text = verdict.comment(whole_text + "a line\n" * (letters // 7))
    first, _, rest = text.partition("\n")
    assert first == f"{whole_text.partition(chr(10))[0]} {verdict.MARK}"
    assert "dvc.lock is not current" in first and all(f"{'r' * 300} {number}" in first for number in range(40))
    assert len(text) <= 65_536 and ("The rest is left out here" in rest) == bool(letters)
    assert set(rest.partition("a line")[2].split("\n")[:-3]) <= {"", "a line"}
    assert len(verdict.comment("x" * 100_000)) > 100_000  # a verdict beyond all measure is left whole


def test_the_workflows_find_the_comment_and_leave_no_old_verdict():
    for name in (".github/workflows/pipeline.yml", ".gitlab-ci.yml"):
        text = (ROOT / name).read_text()
        assert text.count(verdict.MARK) == 2
        assert f"**May not be merged:** the job ended before the comparison, see its log {verdict.MARK}" in text


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (None, "metrics/metrics.json is missing"),
        *full(
            ('{"test": {"accuracy": NaN}}', "contains NaN, which is not a finite number"),
            ('{"test": {"accuracy": 1}}', "lacks train.samples and"),
            ('{"test": {"accur', "is truncated or not valid JSON"),
        ),
    ],
)
def test_metrics_that_are_missing_or_damaged_are_red(published, damage, said, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    path = project.folder / "metrics/metrics.json"
    path.unlink()
    if damage:
        path.write_text(damage)
    project.commit("damage")
    code, text, errors = pull_request(project)
    assert code == 1
    assert said in errors and said in text and "May be merged" not in text


@pytest.mark.full
def test_a_page_side_by_side_loads_nothing(finished, hurt, tmp_path):
    project = clone(finished, hurt, tmp_path / "clone")
    done = project.kiln("compare", "origin/main", "--html", "page.html", check=False)
    assert done.returncode == 1
    page = (project.folder / "page.html").read_text()
    assert page.count('class="matrix"') == 2 and "May not be merged" in page
    assert not re.search(r'(src|href)="(?!data:)', page) and "<script" not in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere"], "there is no commit 'nowhere'"), *full((["--", "--output=x"], "there is no commit '--output=x'"))],
)
def test_a_base_that_is_none_is_one_sentence(published, arguments, said):
    done = published.kiln("compare", *arguments, check=False)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not (published.folder / "x").exists()


def bare(published, folder) -> Project:
    """A copy without .git, as from a tarball."""
    for name in ("kiln", "metrics"):
        shutil.copytree(published.folder / name, folder / name)
    shutil.copy(ROOT / "params.yaml", folder)
    project = Project.at(folder)
    project.environment["GIT_CEILING_DIRECTORIES"] = str(folder.parent)
    return project


def said(project: Project, *arguments: str) -> str:
    done = project.kiln("compare", *arguments, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr and done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.full
def test_git_says_itself_what_is_wrong(published, tmp_path):
    project = bare(published, tmp_path / "project")
    assert "git: not a git repository (or any of the parent directories): .git: run it in your clone" in said(project)
    project.run("git", "init", "-q")
    assert "there is no commit to compare with yet: `git add -A`, then `git commit`" in said(project)
    (project.folder / ".git/config").write_text("[core")
    assert re.search(r"git: bad config line \d in file .*config", said(project))
    shutil.rmtree(project.folder / ".git")
    (project.folder / ".git").write_text("gitdir: /moved/.git/worktrees/this")  # a worktree whose clone was moved
    assert "git: not a git repository: /moved/.git/worktrees/this" in said(project)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    project.environment["PATH"] = str(tmp_path / "bin")
    assert "git is not installed: install it" in said(project)


@pytest.mark.full
@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_a_clone_of_another_user_is_told_with_the_command_that_helps(published, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    subprocess.run(["chown", "-R", "65534:65534", project.folder], check=True)
    project.environment.pop("SUDO_UID", None)
    remedy = f"git config --global --add safe.directory {project.folder}"
    assert f"git: detected dubious ownership in repository at '{project.folder}'; " in said(project, "main")
    assert said(project, "main").rstrip().endswith(remedy)
    done = project.run(".ci/pull-request", "main", "comment.md", check=False)
    first = (project.folder / "comment.md").read_text().partition("\n")[0]
    assert done.returncode == 1 and first.startswith("**May not be merged:**")
    assert f"{remedy} <!--" in html.unescape(first)


@pytest.mark.full
def test_a_shallow_clone_says_so_and_its_remedy_helps(finished, hurt, tmp_path):
    origin = (finished.folder.parent / "origin.git").as_uri()
    for depth in (["--depth", "1"], ["--depth", "1", "--no-single-branch"]):
        folder = tmp_path / "-".join(depth)
        subprocess.run(["git", "clone", "-q", *depth, "-b", hurt, origin, str(folder)], check=True)
        project = Project.at(folder)
        texts = [said(project), said(project, "HEAD~1")]
        if len(depth) == 2:
            texts.append(said(project, "origin/main"))
        for text in texts:
            assert "this clone is shallow" in text
            assert f"`{revisions.UNSHALLOW}`" in text
        project.run("sh", "-c", revisions.UNSHALLOW)
        assert "test.accuracy went from" in project.kiln("compare", check=False).stdout


def test_branches_without_a_commit_in_common_are_called_so(published, tmp_path):
    project = clone(published, "main", tmp_path / "clone")
    project.run("git", "switch", "-q", "--orphan", "alone")
    project.run("git", "checkout", "-q", "main", "--", ".")
    project.commit("alone")
    assert "this branch has no common ancestor with the main one: name a commit" in said(project)


@pytest.mark.full
def test_a_worktree_compares_as_its_clone(finished, hurt, tmp_path):
    project = clone(finished, hurt, tmp_path / "clone")
    project.run("git", "worktree", "add", "-q", str(tmp_path / "tree"), "origin/main")
    done = Project.at(tmp_path / "tree").kiln("compare")
    assert done.stdout.startswith("**May be merged:**")


@pytest.mark.full
def test_a_base_that_git_cannot_read_is_not_taken_for_one_without_metrics(finished, hurt, tmp_path):
    project = clone(finished, hurt, tmp_path / "clone")
    digest = project.run("git", "rev-parse", "origin/main:metrics/metrics.json").stdout.strip()
    objects = project.folder / ".git/objects"
    (objects / "pack").rename(tmp_path / "pack")
    for pack in (tmp_path / "pack").glob("*.pack"):
        project.run("sh", "-c", f"git unpack-objects -q < {pack}")
    (objects / digest[:2] / digest[2:]).unlink(missing_ok=True)
    text = said(project, "origin/main")
    assert "git: " in text and (digest in text or "metrics/metrics.json" in text)


class Tags(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)


def grouped(**changes) -> revisions.Comparison:
    """A comparison of 600 test images in 20 groups; ``changes`` replace parts of it."""
    found = hostile()
    counts = {"test.samples": 600, "test.units": 20}
    base, now = (dataclasses.replace(side, metrics={**side.metrics, **counts}) for side in (found.base, found.now))
    return dataclasses.replace(found, base=base, now=now, **changes)


def test_groups_are_said_with_the_test_that_knows_them():
    text = verdict.describe(grouped(test=comparison.McNemar(1, 30, 0.5, units=20)))
    assert "the exact sign-flip test over 20 groups of 600 images" in text and "p = 0.5" in text
    assert "1 that the base got right is wrong now" in text
    assert "The intervals resample 20 groups of 600 images." in text
    assert "groups" not in verdict.describe(hostile())
    assert "The intervals resample 20 groups" in verdict.side_by_side(grouped())


@pytest.mark.parametrize(
    ("inputs", "noun"),
    [({"t": "text"}, "text"), ({"a": "image", "b": "text"}, "sample"), ({"a": "smell"}, "sample"), ([1], "sample")],
)
def test_samples_are_called_by_their_modality(inputs, noun):
    found = grouped(test=comparison.McNemar(1, 30, 0.5, units=20))
    found.now.params["inputs"] = inputs
    text = verdict.describe(found)
    assert f"20 groups of 600 {noun}s" in text and f"the same test {noun}s were" in text
    assert "image" not in text.partition("### Params")[0]


def test_intervals_of_an_earlier_base_are_said_to_be_others():
    found = grouped()
    del found.base.metrics["test.units"]
    text = verdict.describe(found)
    assert "Those of the base are of an earlier Kiln" in text and "earlier" not in verdict.describe(grouped())


def test_equal_accuracies_and_an_empty_gate_are_called_so():
    found = grouped(failures=[])
    same = [dataclasses.replace(change, now=change.base, beyond=False) for change in found.listed]
    text = verdict.describe(dataclasses.replace(found, listed=same))
    assert "Test accuracy is 50.00% as before, within test-sample noise" in text
    assert "sets no floor and no largest drop" in text
    found.now.params["compare"] = {"floors": {"test.accuracy": 0.1}, "drops": {}}
    assert "every floor and largest drop of `compare` in params.yaml is kept" in verdict.describe(found)


def test_a_drop_that_could_not_be_checked_is_not_said_to_be_kept():
    found = grouped(failures=[])
    found.now.params["compare"] = {"drops": {"test.accuracy": 0.9, "test.f|": 0.1}}
    for base in (found.base, None):
        part = dataclasses.replace(found, base=base, listed=found.listed if base else [])
        text = verdict.describe(part)
        assert "that can be checked is kept. Not checked" in text
        unchecked = "test.f&#124;" if base else "test.accuracy, test.f&#124;"
        assert f"has no such metric: the drop of {unchecked}." in text


def test_classes_that_one_side_lacks_were_not_compared():
    found = grouped(failures=[])
    found = dataclasses.replace(found, base=dataclasses.replace(found.base, classes=found.base.classes.head(3)))
    assert "Recall and precision of 3 classes were compared" in verdict.describe(found)


def test_a_figure_that_is_neither_better_nor_worse_has_changed():
    change = comparison.Change("test_calibrated.temperature", 1.0, 3.0, True)
    assert verdict._judged(change) == "changed, beyond noise"


def test_a_commit_of_an_earlier_kiln_which_counted_images_is_read(monkeypatch):
    def at(commit: str, path: str) -> str:
        text = (ROOT / path).read_text()
        return text.replace('"samples"', '"images"').replace(",samples,", ",images,")

    monkeypatch.setattr(revisions, "at", at)
    base = revisions.committed("0" * 40)
    assert base.metrics["clean.samples"] == 1797 and base.tables[revisions.CONFUSION]["samples"].sum() > 0


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
        assert revisions.predictions(None).columns.tolist() == [name for name in wanted if name != "probability"]


def test_names_do_no_harm_in_markdown():
    text = verdict.describe(hostile())
    assert "<" not in text.replace("&lt;", "")
    assert "onerror=alert(1)" in text and "日本語" in text
    for word in ("a|b", "`c`", "[d]", "@someone", "f" * 100):
        assert word not in text
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert sum(line.startswith("| ") and "| recall |" in line for line in text.splitlines()) == len(HOSTILE)


def test_names_do_no_harm_on_the_page():
    page = verdict.side_by_side(hostile())
    assert "<img src=x" not in page
    allowed = ["html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "section", "div", "figure"]
    allowed += ["table", "thead", "tbody", "tr", "th", "td", "caption", "img"]
    assert Tags(page).tags <= set(allowed)
