import pytest
from optuna import distributions

from kiln.core.errors import UserError
from kiln.experiments import search


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.lr=1e-4..1e-1", distributions.FloatDistribution(1e-4, 1e-1)),
        ("train.lr=log(1e-4..1)", distributions.FloatDistribution(1e-4, 1, log=True)),
        ("train.epochs=1..20", distributions.IntDistribution(1, 20)),
        ("train.batch_size=log(16..256)", distributions.IntDistribution(16, 256, log=True)),
        ("train.optimizer.name=adam,sgd", distributions.CategoricalDistribution(["adam", "sgd"])),
        ("train.optimizer.nesterov=true,false", distributions.CategoricalDistribution([True, False])),
        ("augment.image.crop=0,0.1", distributions.CategoricalDistribution([0, 0.1])),
    ],
)
def test_a_dimension_is_read(text, expected):
    assert search.parse(text) == (text.partition("=")[0], expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.lr", "has no search space"),
        ("train.lr=", "has no search space"),
        ("train.lrr=1..2", "train.lrr is not a param"),
        ("train=1..2", "train is not a param"),
        ("train.lr=2..1", "is not a range"),
        ("train.lr=a..b", "is not a range"),
        ("train.lr=true..false", "is not a range"),
        ("train.lr=log(0..1)", "starts above 0"),
        ("train.lr=.nan,1", "is not a valid value"),
        ("train.lr=[1],2", "is not a valid value"),
        ("train.lr=1,,2", "is not a valid value"),
    ],
)
def test_what_is_no_dimension_is_one_sentence(text, said):
    with pytest.raises(UserError, match=said):
        search.parse(text)


def shown(*trials) -> list[dict]:
    experiments = [
        {
            "name": name,
            "revs": [
                {
                    "data": {
                        "params": {"params.yaml": {"data": {"train": {"lr": lr}}}},
                        "metrics": {"metrics/metrics.json": {"data": {"validation": {"accuracy": value}}}},
                    }
                }
            ],
        }
        for name, lr, value in trials
    ]
    failed = {"name": "s-9", "revs": [{"error": {"msg": "x"}}]}
    return [{"rev": "workspace", "experiments": None}, {"rev": "abc", "experiments": [*experiments, failed]}]


def test_trials_are_read_back_by_name():
    found = search.tried(
        shown(("s-1", 0.1, 0.8), ("s-2", 0.2, 0.9), ("other-3", 0.3, 1), ("s-4", 0.3, None)), "s", "validation.accuracy"
    )
    assert {number: (settings["train.lr"], value) for number, (settings, value) in found.items()} == {
        1: (0.1, 0.8),
        2: (0.2, 0.9),
    }


def test_the_same_history_gives_the_same_next_trial_and_another_seed_another():
    space = dict([search.parse("train.lr=log(1e-4..1)")])
    done = {n: ({"train.lr": 10.0**-n}, 0.5 + 0.1 * n) for n in range(1, 4)}
    asked = [search.study(done, space, "maximize", seed).ask(space).params["train.lr"] for seed in (0, 0, 1)]
    assert asked[0] == asked[1] != asked[2]
    assert len(search.study(done, space, "maximize", 0).trials) == 3
    outside = {**done, 4: ({"train.lr": 50.0}, 0.1), 5: ({}, 0.2)}
    assert len(search.study(outside, space, "maximize", 0).trials) == 3


@pytest.mark.full
def test_a_search_goes_on_where_it_stopped_and_leaves_the_tree_as_it_was(small, tmp_path):
    project = small.copy(tmp_path / "project")
    words = ("train.lr=log(1e-4..1e-2)", "train.optimizer.name=adam,sgd")
    first = project.kiln("search", *words, "--trials", "1")
    assert "search-1: validation.accuracy" in first.stdout and "best of 1: search-1" in first.stdout
    second = project.kiln("search", *words, "--trials", "2")
    assert "search-2: train.lr=" in second.stdout and "search-1: train.lr=" not in second.stdout
    assert "best of 2: search-" in second.stdout
    last = second.stdout.splitlines()[-1]
    assert "commit your edits, then `dvc exp apply search-" in last and "git stash apply refs/exps/apply/stash" in last
    assert not project.run("git", "status", "--porcelain").stdout
    again = project.kiln("search", *words, "--trials", "2")
    assert "train.lr=" not in again.stdout and "best of 2" in again.stdout
    project.set(train__lr=0.5)
    refused = project.kiln("search", *words, check=False)
    assert refused.returncode == 1 and "params.yaml has uncommitted changes" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train.lr=1..2", "--metric", "test.accuracy"], "cannot be searched by"),
        (["train.lr=1..2", "--metric", "validation.nothing"], "cannot be searched by"),
        (["train.lr=1..2", "--name", "a b"], "letters, digits and hyphens"),
        (["train.lrr=1..2"], "train.lrr is not a param"),
        (["train.lr=1..2", "--trials", "0"], "--trials 0: should be at least 1"),
    ],
)
def test_the_command_line_is_checked_before_any_work(small, arguments, said):
    done = small.kiln("search", *arguments, check=False)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_a_figure_that_the_metrics_lack_is_one_sentence(monkeypatch):
    monkeypatch.setattr(search, "history", lambda *_: {})
    monkeypatch.setattr(search, "run_trial", lambda *_: True)
    space = dict([search.parse("train.lr=0.1..1")])
    with pytest.raises(UserError, match=r"s-1 has no validation\.top5_accuracy: choose a metric"):
        search.run_trials(space, "s", "validation.top5_accuracy", 2, 0)


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("\n", "no message"),
        ("WARNING: x\nERROR: 'dvc.lock' is git-ignored.\nmore\n", "'dvc.lock' is git-ignored."),
        ("epoch 1/2\ntrain: why\nERROR: failed to reproduce 'train': exited with 1\n", "train: why"),
        ("ERROR: failed to reproduce 'train': output is missing\n", "failed to reproduce 'train': output is missing"),
    ],
)
def test_a_trial_that_failed_says_why(stderr, said):
    assert search.cause(stderr) == said


def test_git_says_itself_why_a_search_cannot_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match=r"git: not a git repository .*: run it in your clone"):
        search.clean_tree()
    (tmp_path / ".git").write_text("gitdir: /moved")
    with pytest.raises(UserError, match="git: not a git repository: /moved"):
        search.clean_tree()


def test_a_dvc_of_a_moved_venv_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "dvc").write_text("#!/moved/.venv/bin/python\n")
    (tmp_path / "dvc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="dvc cannot be started: run `make setup`"):
        search.dvc("status")
