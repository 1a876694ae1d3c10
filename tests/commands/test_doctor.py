import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from makers.effort import full
from ruamel.yaml import YAML

from kiln.core.errors import UserError
from kiln.health import examination, installation, traces
from kiln.health import project as health

DAY = 86400
PACKAGES = functools.cache(importlib.metadata.packages_distributions)
VERSION = functools.cache(importlib.metadata.version)
REST = ".AbCdEfGhIjKlMnOpQrSt_-.tmp"


def doctor_says(project, *arguments, code: int, quick: bool = True) -> str:
    done = project.call("doctor", *arguments, *(["--quick"] if quick else []))
    assert done.returncode == code and not done.stderr, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def write(path: Path, content: str = "x", days: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    make_old(path, days)
    return path


def make_old(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    for one in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if one.exists():
            os.utime(one, (then, then))


def wait_for(condition, what: str):
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"no {what} in a minute")


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """What is installed does not change while tests run, and takes longest to list."""
    monkeypatch.setattr(importlib.metadata, "packages_distributions", PACKAGES)
    monkeypatch.setattr(importlib.metadata, "version", VERSION)


@pytest.fixture(scope="session")
def template(template, tmp_path_factory):
    """The project with a lock of one stage: the doctor reads it twice, and YAML is slow."""
    project = template.copy(tmp_path_factory.mktemp("doctor") / "project")
    lock = YAML(typ="safe").load(project.folder / "dvc.lock")
    YAML().dump({**lock, "stages": {"fetch": lock["stages"]["fetch"]}}, project.folder / "dvc.lock")
    project.commit("a short lock")
    return project


@contextmanager
def held(project, lock: str):
    """A process that holds a lock of DVC, and is not DVC."""
    code = f"import time, zc.lockfile as z; lock = z.LockFile({lock!r}); print(lock, flush=True); time.sleep(600)"
    (project.folder / ".dvc/tmp").mkdir(exist_ok=True)
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=project.folder, stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        yield holder
    finally:
        holder.kill()
        holder.communicate()


@pytest.fixture
def sleeper(tmp_path):
    """A process that looks like DVC, at work in another project, whose cache is tmp_path/shared."""
    write(tmp_path / "other/.dvc/config", f"[cache]\n    dir = {tmp_path / 'shared'}\n")
    script = write(tmp_path / "dvc", "import time\ntime.sleep(600)\n")
    process = subprocess.Popen([sys.executable, script, "repro"], cwd=tmp_path / "other")
    yield process
    process.kill()
    process.wait()


def one_stage(project, command: str) -> None:
    """Reduce the pipeline to one quick stage with a directory of two files."""
    YAML().dump({"stages": {"make": {"cmd": command, "outs": ["data/made"]}}}, project.folder / "dvc.yaml")
    (project.folder / "dvc.lock").unlink()
    project.commit("one stage")


@pytest.fixture(scope="module")
def made_once(template, tmp_path_factory):
    project = template.copy(tmp_path_factory.mktemp("made") / "project")
    one_stage(project, "mkdir data/made && echo one > data/made/a && echo two > data/made/b")
    project.dvc("repro")
    project.commit("made")
    return project


@pytest.fixture
def made(made_once, tmp_path):
    return made_once.copy(tmp_path / "project")


def cached(project, content: str, cache: Path | None = None) -> Path:
    digest = hashlib.md5(content.encode()).hexdigest()  # noqa: S324
    path = (cache or project.folder / ".dvc/cache") / "files/md5" / digest[:2] / digest[2:]
    assert path.read_text() == content
    return path


def spoil(path: Path, content: str = "no") -> None:
    path.chmod(0o644)
    path.write_text(content)
    path.chmod(0o444)


def test_a_healthy_project_is_silent_with_a_cache_and_in_a_clone_without(made, tmp_path):
    assert doctor_says(made, code=0, quick=False) == ""
    made.run("git", "clone", "-q", made.folder, tmp_path / "clone")
    clone = type(made).at(tmp_path / "clone")
    assert not (clone.folder / ".dvc/cache").exists()
    assert doctor_says(clone, code=0, quick=False) == ""


def test_a_project_that_has_been_reproduced_is_silent(small):
    assert doctor_says(small, code=0, quick=False) == ""


def test_it_imports_neither_keras_nor_pandas(project):
    code = "import sys, kiln.health.examination; print({'keras', 'tensorflow', 'pandas'}.intersection(sys.modules))"
    assert project.run(sys.executable, "-c", code).stdout.strip() == "set()"


def test_outside_of_a_project_it_says_where_to_run_it(project):
    (project.folder / ".dvc").rename(project.folder / "elsewhere")
    done = project.kiln("doctor", check=False)
    assert done.returncode == 1 and "run it where .dvc is" in done.stderr


def test_on_windows_it_says_what_to_use(monkeypatch, project):
    monkeypatch.setattr(health.sys, "platform", "win32")
    with pytest.raises(UserError, match="work in WSL"):
        health.open_project(project.folder)


def test_settings_of_dvc_that_are_not_readable_are_named(project):
    (project.folder / ".dvc/config.local").write_text("[core\n")
    done = project.kiln("doctor", check=False)
    assert done.returncode == 1 and ".dvc/config.local is not readable" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", ["no settings\n", "[core]\n    nonsense = 1\n"])
def test_settings_of_dvc_in_the_home_are_named_where_they_stop_it(project, tmp_path, content):
    file = write(tmp_path / "config", content)
    project.environment["DVC_GLOBAL_CONFIG_DIR"] = str(tmp_path)
    done = project.kiln("doctor", check=False)
    assert done.returncode == 1 and done.stderr.startswith(f"doctor: {file} is not readable, so DVC stops: ")
    assert len(done.stderr.splitlines()) == 1


def test_settings_of_dvc_in_the_home_that_change_nothing_here(project, tmp_path):
    one_stage(project, "echo x > data/made")
    write(tmp_path / "config", "[core]\n    no_scm = true\n[hydra]\n    enabled = true\n")
    project.environment["DVC_GLOBAL_CONFIG_DIR"] = str(tmp_path)
    project.dvc("exp", "run", "-n", "one", "-S", "seed=1")
    assert "seed: 1 " in (project.folder / "params.yaml").read_text()


def test_a_default_remote_that_is_not_there_is_told(project, tmp_path):
    write(tmp_path / "config", "[core]\n    remote = store\n")
    project.environment["DVC_GLOBAL_CONFIG_DIR"] = str(tmp_path)
    assert "core.remote is store, but DVC knows no remote of that name" in doctor_says(project, code=1)
    project.dvc("remote", "add", "store", str(tmp_path / "store"))
    assert doctor_says(project, code=0) == ""


def test_a_shell_and_warnings_that_end_dvc_are_told(project):
    for shell in ("/nowhere/zsh", "/usr/sbin/nologin", "/bin/false"):
        project.environment["SHELL"] = shell
        assert f"SHELL is {shell}, which starts nothing" in doctor_says(project, code=1)
    project.environment |= {"SHELL": "/bin/sh", "PYTHONWARNINGS": "error::DeprecationWarning"}
    assert "PYTHONWARNINGS is error::DeprecationWarning: dvc ends" in doctor_says(project, code=1)
    project.environment["PYTHONWARNINGS"] = "ignore"
    assert doctor_says(project, code=0) == ""


@pytest.mark.parametrize(("content", "said"), [("", "is empty"), ("stages: [", "is cut off"), ("a: 1\n", "is cut off")])
def test_a_broken_lock_is_restored_from_git(project, content, said):
    lock = project.folder / "dvc.lock"
    good = lock.read_text()
    lock.write_text(content)
    assert f"dvc.lock {said}" in doctor_says(project, code=1)
    assert lock.read_text() == content
    assert "repaired" in doctor_says(project, "--fix", code=0)
    assert lock.read_text() == good


def test_a_lock_that_is_only_changed_stays(project):
    lock = project.folder / "dvc.lock"
    lock.write_text("schema: '2.0'\nstages: {}\n")
    assert doctor_says(project, "--fix", code=0) == ""
    assert lock.read_text() == "schema: '2.0'\nstages: {}\n"


@pytest.mark.full
def test_a_lock_without_a_good_one_in_git_or_in_a_merge_is_left_to_the_person(project):
    lock = project.folder / "dvc.lock"
    good = lock.read_text()
    conflict = f"<<<<<<< HEAD\n{good}=======\n{good}>>>>>>> other\n"
    lock.write_text(conflict)
    assert "both sides of a merge" in doctor_says(project, "--fix", code=1)
    assert lock.read_text() == conflict
    lock.write_text("")
    project.commit("an empty lock")
    assert "git has no good one" in doctor_says(project, "--fix", code=1)


@pytest.mark.parametrize("content", ["", *full("{", '{"read": 1}', '{"write": {"/a": {"pid": "1", "cmd": "dvc"}}}')])
def test_an_unreadable_rwlock_is_deleted(made, content):
    path = write(made.folder / ".dvc/tmp/rwlock", content)
    assert made.dvc("repro", "-f", check=False).returncode != 0
    assert ".dvc/tmp/rwlock is not readable" in doctor_says(made, code=1)
    assert "repaired: deleted" in doctor_says(made, "--fix", code=0)
    assert not path.exists()
    made.dvc("repro", "-f")


def test_entries_of_the_dead_go_and_those_of_the_living_stay(project, sleeper):
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    wait_for(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE, "zombie")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, undead, living = ({"pid": one.pid, "cmd": "dvc repro"} for one in (gone, zombie, sleeper))
    held = {"read": {"/a": [dead, living], "/b": [undead]}, "write": {"/c": undead, "/d": living}}
    path = write(project.folder / ".dvc/tmp/rwlock", json.dumps(held))
    said = doctor_says(project, code=1)
    assert str(gone.pid) in said and str(zombie.pid) in said and str(sleeper.pid) not in said
    assert json.loads(path.read_text()) == held
    assert "repaired" in doctor_says(project, "--fix", code=0)
    assert json.loads(path.read_text()) == {"read": {"/a": [living]}, "write": {"/d": living}}
    assert doctor_says(project, "--fix", code=0) == ""
    assert json.loads(path.read_text()) == {"read": {"/a": [living]}, "write": {"/d": living}}
    zombie.wait()


@pytest.mark.parametrize("pid", [-1, 2**22 + 1, 2**70])
def test_a_number_that_no_process_has_is_dead(pid):
    assert not traces.alive(pid)


def test_the_table_is_mended_only_under_its_lock(project):
    entry = {"pid": 2**22 + 1, "cmd": "dvc repro"}  # above the highest number that Linux gives
    path = write(project.folder / ".dvc/tmp/rwlock", json.dumps({"write": {"/a": entry}}))
    with held(project, ".dvc/tmp/rwlock.lock"):
        said = doctor_says(project, "--fix", code=1)
        assert "could not be repaired: DVC is using rwlock: try again" in said
        assert json.loads(path.read_text()) == {"write": {"/a": entry}}
    doctor_says(project, "--fix", code=0)
    assert json.loads(path.read_text()) == {"read": {}, "write": {}}


def test_a_number_given_anew_is_told_and_left(project):
    process = subprocess.Popen(["sleep", "600"])
    try:
        held = {"read": {}, "write": {"/a": {"pid": process.pid, "cmd": "dvc repro"}}}
        path = write(project.folder / ".dvc/tmp/exps/rwlock", json.dumps(held))
        assert f"{process.pid}, which is alive but not DVC (sleep 600)" in doctor_says(project, "--fix", code=1)
        assert json.loads(path.read_text()) == held
    finally:
        process.kill()
        process.wait()


def test_a_held_lock_is_told_and_left_and_one_of_the_dead_means_nothing(project):
    with held(project, ".dvc/tmp/lock") as holder:
        assert f".dvc/tmp/lock is held by process {holder.pid}" in doctor_says(project, "--fix", code=0)
        assert holder.poll() is None
    assert (project.folder / ".dvc/tmp/lock").is_file()
    assert doctor_says(project, code=0) == ""


def test_a_hardlink_lock_outlives_its_process_and_is_left_to_the_person(project):
    project.dvc("config", "--local", "core.hardlink_lock", "true")
    code = "import dvc.lock as d, os; d.make_lock('.dvc/tmp/lock', '.dvc/tmp', hardlink_lock=True).lock(); os._exit(0)"
    (project.folder / ".dvc/tmp").mkdir(exist_ok=True)
    project.run(sys.executable, "-c", code)
    assert ".dvc/tmp/lock exists, but DVC is not running here" in doctor_says(project, "--fix", code=1)
    assert (project.folder / ".dvc/tmp/lock").is_file()


@pytest.mark.parametrize("shared", [False, True])
def test_cut_off_copies_in_the_cache_are_deleted_once_they_are_old(project, tmp_path, shared):
    cache = tmp_path / "shared" if shared else project.folder / ".dvc/cache"
    if shared:
        project.dvc("cache", "dir", "--local", cache)
    old = [write(cache / place / REST, days=1) for place in ("files/md5", "files/md5/ab", "runs/ab/abcd")]
    young, foreign = write(cache / f"files/md5/cd/{REST}"), write(cache / "files/md5/cd/mine.tmp", days=1)
    assert "holds 3 cut-off copies" in doctor_says(project, code=1)
    assert all(path.exists() for path in old)
    assert "repaired: deleted" in doctor_says(project, "--fix", code=0)
    assert not any(path.exists() for path in old) and young.exists() and foreign.exists()


def test_a_shared_cache_may_be_in_use_from_another_project(project, tmp_path, sleeper):
    project.dvc("cache", "dir", "--local", tmp_path / "shared")
    theirs = write(tmp_path / "shared/files/md5" / REST, days=1)
    assert doctor_says(project, "--fix", code=0) == ""
    assert theirs.exists()
    project.dvc("cache", "dir", "--local", "--unset")
    ours = write(project.folder / ".dvc/cache/files/md5" / REST, days=1)
    assert "repaired" in doctor_says(project, "--fix", code=0)
    assert not ours.exists()


def test_what_a_dvc_at_work_may_use_is_left_out(project):
    rest = write(project.folder / ".dvc/cache/files/md5" / REST, days=1)
    folder = project.folder / ".dvc/tmp/exps/tmpabc"
    half = write(project.folder / "data/.clean.partial/x", days=1)
    checkpoint = write(project.folder / "data/.checkpoints/abc/x", days=20)
    write(folder / "x", days=1)
    for path in (folder, half.parent, checkpoint.parent):
        make_old(path, 20)
    (project.folder / "dvc.lock").write_text("")
    write(project.folder / ".dvc/tmp/rwlock", "")
    words = [sys.executable, "-c", "import time; time.sleep(600)", "-m", "stages.train"]
    process = subprocess.Popen(words, cwd=project.folder)
    try:
        assert doctor_says(project, "--fix", code=0) == ""
        assert all(path.exists() for path in (rest, folder, half, checkpoint))
    finally:
        process.kill()
        process.wait()
    assert doctor_says(project, "--fix", code=0).count("repaired") == 6
    assert not any(path.exists() for path in (rest, folder, half, checkpoint))


@pytest.mark.parametrize("shared", [False, *full(True)])
def test_a_damaged_file_of_the_cache_is_deleted_and_its_output_comes_back(made, tmp_path, shared):
    if shared:
        (made.folder / ".dvc/cache").rename(tmp_path / "shared")
        made.dvc("cache", "dir", "--local", tmp_path / "shared")
    path = cached(made, "one\n", tmp_path / "shared" if shared else None)
    spoil(path)
    made.run("rm", "-r", "data/made")
    made.dvc("checkout")
    assert (made.folder / "data/made/a").read_text() == "no"  # why it matters
    said = doctor_says(made, code=1, quick=False)
    assert f"{path.name} (of data/made/a) is damaged" in said and "then `dvc repro`" in said
    assert path.exists()
    assert "repaired: deleted; `dvc repro` brings it back" in doctor_says(made, "--fix", code=0, quick=False)
    assert not path.exists() and not (made.folder / "data/made/a").exists()
    assert (made.folder / "data/made/b").exists()
    made.dvc("repro")
    assert (made.folder / "data/made/a").read_text() == "one\n" and path.read_text() == "one\n"
    assert doctor_says(made, code=0, quick=False) == ""


def test_a_damaged_file_stays_while_a_stage_may_read_its_output(made):
    path = cached(made, "one\n")
    spoil(path)
    words = [sys.executable, "-c", "import time; time.sleep(600)", "-m", "stages.train"]
    process = subprocess.Popen(words, cwd=made.folder)
    try:
        assert "is damaged" in doctor_says(made, "--fix", code=1, quick=False)
        assert path.exists()
    finally:
        process.kill()
        process.wait()


def test_quick_does_not_read_the_cache(made):
    spoil(cached(made, "one\n"))
    assert doctor_says(made, code=0) == ""


def test_a_file_that_a_person_has_edited_is_not_deleted_with_the_damaged_one(made):
    spoil(cached(made, "one\n"))
    (made.folder / "data/made/a").write_text("mine")
    assert "repaired" in doctor_says(made, "--fix", code=0, quick=False)
    assert (made.folder / "data/made/a").read_text() == "mine"


def test_a_damaged_list_of_a_directory_is_found(made):
    path = next(made.folder.glob(".dvc/cache/files/md5/*/*.dir"))
    spoil(path, path.read_text()[:-5])
    assert "(of data/made) is damaged" in doctor_says(made, "--fix", code=0, quick=False)
    assert not path.exists()
    made.dvc("repro")
    assert doctor_says(made, code=0, quick=False) == ""


def test_a_directory_of_which_a_part_is_missing_is_found(made):
    cached(made, "one\n").unlink()
    assert "the cache lacks data/made/a" in doctor_says(made, code=1)
    cached(made, "two\n").unlink()
    assert doctor_says(made, code=0) == ""  # never fetched, but for the list


def test_who_has_a_damaged_file_and_how_it_comes_back_is_told(made, tmp_path):
    write(made.folder / "data/mine.bin", "mine")
    made.dvc("add", "data/mine.bin")
    made.commit("mine")
    (made.folder / ".dvc/cache/files/md5/ab").mkdir()
    (made.folder / ".dvc/cache/files/md5/ab" / ("c" * 30)).write_text("of another commit")
    spoil(cached(made, "mine"))
    said = doctor_says(made, code=1, quick=False)
    assert "(of data/mine.bin)" in said and "then put data/mine.bin there again and run `dvc add data/mine.bin`" in said
    assert "(of no output of this commit)" in said
    made.dvc("remote", "add", "-d", "store", tmp_path / "store")
    assert "(of data/mine.bin)" in (said := doctor_says(made, code=1, quick=False)) and "then `dvc pull`" in said


@pytest.mark.parametrize("place", ["exps", "exps/standalone"])
def test_a_folder_of_a_killed_experiment_is_deleted(project, place):
    folder = project.folder / f".dvc/tmp/{place}/tmp_abc"  # noqa: S108
    write(folder / "data/x")
    assert doctor_says(project, code=0) == ""  # may be starting
    make_old(folder, 1)
    assert "tmp_abc is left of a killed experiment" in doctor_says(project, code=1)
    doctor_says(project, "--fix", code=0)
    assert not folder.exists()


def test_a_killed_experiment_and_the_stage_that_outlives_it(project):
    write(project.folder / "stages/slow.py", "import time\ntime.sleep(600)\n")
    one_stage(project, "exec python -m stages.slow")
    words = [Path(sys.executable).parent / "dvc", "exp", "run", "-S", "train.lr=0.01"]
    dvc = subprocess.Popen(
        words, cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def stage():
        found = psutil.Process(dvc.pid).children(recursive=True)
        return next((one for one in found if "stages.slow" in one.cmdline()), None)

    process = wait_for(stage, "stage")
    try:
        assert doctor_says(project, code=0) == ""
        dvc.kill()
        dvc.wait()
        said = doctor_says(project, "--fix", code=1)
        assert f"process {process.pid} (slow) outlived the DVC" in said
        assert f"names processes that are dead: {dvc.pid} " in said
        assert process.is_running()
    finally:
        process.kill()
    wait_for(lambda: not traces.alive(process.pid), "end of the stage")
    assert "a `dvc exp run` was killed, and git is on no branch" in doctor_says(project, code=1)
    assert "repaired: `git diff params.yaml` shows what it had set" in doctor_says(project, "--fix", code=0)
    assert project.run("git", "symbolic-ref", "HEAD").stdout.strip() == "refs/heads/main"
    assert project.run("git", "status", "--porcelain").stdout.split() == ["M", "params.yaml"]
    assert doctor_says(project, code=0) == ""


def test_marks_of_a_killed_experiment_go_without_the_experiment_that_they_name(project):
    project.run("git", "update-ref", "refs/exps/exec/EXEC_BASELINE", "HEAD")
    project.run("git", "update-ref", "refs/exps/ab/cd/name", "HEAD")
    project.run("git", "symbolic-ref", "refs/exps/exec/EXEC_BRANCH", "refs/exps/ab/cd/name")
    project.run("git", "branch", "other")
    project.run("git", "checkout", "-q", "--detach")
    assert "git switch main" in doctor_says(project, "--fix", code=1)  # which branch, only the person knows
    project.run("git", "checkout", "-q", "main")
    assert "DVC takes its base for HEAD;" in doctor_says(project, code=1)
    assert "repaired" in doctor_says(project, "--fix", code=0)
    assert project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split() == [
        "refs/exps/ab/cd/name"
    ]


@pytest.mark.parametrize("name", ["kiln/new/new.py", "data/source/red/1.png", "data/corrections.csv"])
def test_what_a_queued_experiment_would_miss_is_named(project, name):
    if name == "data/corrections.csv":
        (project.folder / name).unlink()
        project.commit("forgotten")
    if name.startswith("data/source"):
        (project.folder / ".gitignore").write_text("")
        project.commit("nothing ignored")
    write(project.folder / name)
    said = doctor_says(project, "--fix", code=1)
    assert f"git does not know {name}: " in said and f"`git add {name}`" in said
    project.run("git", "add", name)
    assert doctor_says(project, code=0) == ""


def test_what_is_ignored_or_no_dependency_may_be_unknown_to_git(project):
    write(project.folder / "data/source/red/1.png")
    write(project.folder / "notes.txt")
    assert doctor_says(project, code=0) == ""


def test_a_path_that_leads_out_of_the_project_is_named(project, tmp_path):
    (tmp_path / "photos").mkdir()
    (project.folder / "photos").symlink_to("../photos")
    project.set(fetch__path="photos")
    project.commit("photos")
    assert "fetch.path photos leads out of the project" in doctor_says(project, code=1)
    project.set(fetch__path="../photos")
    assert "should be absolute, or lie inside the project" in doctor_says(project, code=1)
    project.set(fetch__path=str(tmp_path / "photos"))
    assert doctor_says(project, code=0) == ""


def test_another_python_or_no_dvc_on_the_path_is_named(project, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").symlink_to("/bin/true")
    project.environment["PATH"] = str(programs)
    said = doctor_says(project, code=1)
    assert f"python on PATH is {programs / 'python'}, not that of this Python" in said
    assert "dvc on PATH is missing" in said and "git is not installed" in said


def test_packages_and_python_are_compared_with_what_is_pinned(project):
    path = project.folder / "requirements.txt"
    text = (
        path.read_text()
        .replace("\ntqdm==", "\ntqdm==99.", 1)
        .replace("\npillow==", "\nno-such-package==1.0 \\\npillow==")
    )
    path.write_text(text + "pywin32==1 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n")
    pyproject = project.folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace(">=3.11,<3.14", ">=3.99"))
    said = doctor_says(project, code=1)
    assert f"tqdm {installation.installed('tqdm')}, not 99." in said and "no-such-package missing, not 1.0" in said
    assert "pywin32" not in said
    assert "this is Python 3." in said and ">=3.99" in said


def test_the_gpu_build_is_compared_with_its_own_pins(project, monkeypatch):
    here = health.Project(project.folder, {})
    pinned = installation.pins(project.folder / "requirements.txt") | installation.pins(
        project.folder / "requirements-gpu.txt"
    )
    monkeypatch.setattr(installation, "installed", lambda name: None if name == "tensorflow-cpu" else pinned[name])
    assert not list(installation.packages(here))
    other = pinned | {"tensorflow-cpu": None, "tensorflow": "0"}
    monkeypatch.setattr(installation, "installed", other.get)
    (finding,) = installation.packages(here)
    assert "tensorflow 0, not 2." in finding.what


@pytest.mark.full
def test_the_folder_of_dvcs_index_is_made_private(project):
    del project.environment["DVC_SITE_CACHE_DIR"]
    project.dvc("config", "core.site_cache_dir", "relative")
    assert "core.site_cache_dir relative is relative" in doctor_says(project, code=1)
    project.dvc("config", "--unset", "core.site_cache_dir")
    assert "core.site_cache_dir is not set" in doctor_says(project, code=1)
    assert "repaired" in doctor_says(project, "--fix", code=0)
    folder = project.folder / ".dvc/tmp/site"
    assert project.dvc("config", "core.site_cache_dir").stdout.strip() == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert doctor_says(project, code=0) == ""
    project.environment["DVC_SITE_CACHE_DIR"] = "relative"
    assert "DVC_SITE_CACHE_DIR relative is relative" in doctor_says(project, "--fix", code=1)


def test_a_folder_that_others_can_enter_is_closed(project):
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "site"
        if installation.is_private(Path(name).parent):
            pytest.skip("this machine's folder for temporary files is private")
        project.environment["DVC_SITE_CACHE_DIR"] = str(folder)
        project.dvc("status", check=False)
        assert folder.stat().st_mode & 0o022  # why it matters
        assert f"DVC_SITE_CACHE_DIR {folder} is open to other users" in doctor_says(project, code=1)
        assert "repaired" in doctor_says(project, "--fix", code=0)
        assert folder.stat().st_mode & 0o777 == 0o700


def test_make_setup_makes_that_folder_private(project):
    folder = project.folder / ".dvc/tmp/site"
    shutil.rmtree(folder, ignore_errors=True)
    assert ".ci/settle" in project.run("make", "-n", "setup").stdout
    project.run("sh", ".ci/settle")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_a_killed_stage_had_half_written_is_deleted(project):
    names = ["data/.clean.partial", "metrics/.metrics.json.partial", "data/.downloads/abc-x.zip.partial"]
    paths = [project.folder / name for name in names]
    write(paths[0] / "x"), write(paths[1]), write(paths[2])
    lock = write(project.folder / "data/.train.lock", days=30)
    assert doctor_says(project, code=0) == ""  # may be at work
    for path in paths:
        make_old(path, 1)
    said = doctor_says(project, code=1)
    assert all(f"{name} is left of a killed stage" in said for name in names)
    doctor_says(project, "--fix", code=0)
    assert not any(path.exists() for path in paths) and lock.exists()


def test_checkpoints_are_listed_and_deleted_after_a_fortnight(project):
    folder = project.folder / "data/.checkpoints"
    write(folder / "young/model.h5", "x" * 2_000_000)
    write(folder / "old/model.h5", "x" * 3_000_000)
    make_old(folder / "young", 13)
    make_old(folder / "old", 15)
    said = doctor_says(project, code=1)
    assert "data/.checkpoints/young: 2.0 MB, 13 days old" in said
    assert "data/.checkpoints/old: 3.0 MB, 15 days old" in said
    said = doctor_says(project, "--fix", code=0)
    assert said.count("repaired") == 1
    assert (folder / "young").exists() and not (folder / "old").exists()


def test_a_full_disk_is_named(project, monkeypatch):
    here = health.Project(project.folder, {"cache": {"dir": "/no/such/cache"}})
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**9 - 1}))
    assert any("has 1,000 MB left" in finding.what for finding in installation.disk(here))
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**9}))
    assert not list(installation.disk(here))


def test_a_repair_that_fails_is_told_and_left():
    def fail() -> str:
        raise PermissionError(13, "Permission denied", "/cache/file")

    said, left = examination.treat(health.Finding("a", "b", "c", fail), fix=True)
    assert left and said == "could not be repaired: [Errno 13] Permission denied: '/cache/file'"


def test_a_backend_of_keras_that_is_none_is_told(project, tmp_path):
    project.environment |= {"KERAS_BACKEND": "theano", "KERAS_HOME": str(tmp_path / "keras")}
    said = doctor_says(project, code=1)
    assert "Keras cannot start: KERAS_BACKEND is 'theano', but should be tensorflow, jax or torch" in said
    project.environment["KERAS_BACKEND"] = ""
    write(tmp_path / "keras/keras.json", '{"backend": "tensorflow", "image_data_format": "channels_first"}')
    said = doctor_says(project, code=0)
    assert f"{tmp_path}/keras/keras.json sets image_data_format 'channels_first': Kiln takes nothing from it" in said
    write(tmp_path / "keras/keras.json", '{"backend": "tenserflow"}')
    assert f"{tmp_path}/keras/keras.json: backend is 'tenserflow', but should be" in doctor_says(project, code=1)


def test_what_is_set_for_other_programs_is_named(project, tmp_path):
    write(tmp_path / "matplotlib/matplotlibrc")
    project.environment |= {"MPLBACKEND": "TkAgg", "ONEDNN_VERBOSE": "0", "XDG_CONFIG_HOME": str(tmp_path)}
    said = project.kiln("doctor", "--quick").stdout  # whose start leaves them out
    assert "the environment sets MPLBACKEND, ONEDNN_VERBOSE: Kiln leaves that out" in said
    assert f"{tmp_path}/matplotlib/matplotlibrc is there" in said


def test_a_python_path_is_told_where_it_hides_modules(project, tmp_path):
    write(tmp_path / "paths/mine.py", "")
    project.environment["PYTHONPATH"] = f"{tmp_path / 'paths'}{os.pathsep}{project.folder}{os.pathsep}/none"
    assert doctor_says(project, code=0) == ""
    write(tmp_path / "paths/numpy/__init__.py", "raise SystemExit")
    write(tmp_path / "paths/json.py", "raise SystemExit")
    said = doctor_says(project, code=1)
    assert "PYTHONPATH holds other modules called json, numpy" in said and "`unset PYTHONPATH`" in said


def test_what_git_refuses_is_passed_on(project, tmp_path):
    # As git itself is tested, since changing a file's owner needs rights.
    project.environment["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"
    said = doctor_says(project, code=1)
    assert f"detected dubious ownership in repository at '{project.folder}'" in said
    assert f"`git config --global --add safe.directory {project.folder}`" in said
    del project.environment["GIT_TEST_ASSUME_DIFFERENT_OWNER"]
    shutil.rmtree(project.folder / ".git")
    said = doctor_says(project, code=1)
    assert "not a git repository" in said and "`dvc config --local core.no_scm true`" in said
    project.dvc("config", "--local", "core.no_scm", "true")
    assert doctor_says(project, code=0) == ""
    write(project.folder / ".git", "gitdir: /none/.git/worktrees/kiln\n")
    project.dvc("config", "--local", "--unset", "core.no_scm")
    assert "not a git repository: /none/.git/worktrees/kiln" in doctor_says(project, code=1)


def test_a_shallow_clone_is_worth_knowing(project, tmp_path):
    project.commit("second")
    project.run("git", "clone", "-q", "--depth", "1", f"file://{project.folder}", tmp_path / "shallow")
    said = doctor_says(type(project).at(tmp_path / "shallow"), code=0)
    assert "this is a shallow clone" in said and "git fetch --unshallow" in said


MARKS = "<<<<<<< HEAD\n{}=======\n{}>>>>>>> main\n"


def test_both_sides_of_a_merge_are_named_as_such(project):
    path = project.folder / "params.yaml"
    text = path.read_text()
    line = next(number for number, one in enumerate(text.splitlines(), 1) if one.startswith("  lr:"))
    for marks in (MARKS, MARKS.replace("=======", "||||||| base\n  lr: 1\n======="), MARKS.replace("\n", "\r\n")):
        path.write_bytes(text.replace("  lr:", marks.format("  lr: 1\n", "  lr: 2\n") + "  lr:", 1).encode())
        said = doctor_says(project, code=1)
        assert f"params.yaml line {line}: both sides of a merge are left: keep one" in said
        for stage in ("fetch", "report") if marks == MARKS else ():
            done = project.stage(stage, check=False)
            assert done.returncode == 1
            assert done.stderr.startswith(f"{stage}: params.yaml line {line}: both sides of a merge are left")
    path.write_text(text + "\n>>>>>>> main\n")
    assert "both sides of a merge are left" in doctor_says(project, code=1)
    # A rule below a heading, as Markdown has it, in a text that may hold lines.
    path.write_text(text.replace("    An example", "    Title\n    =======\n    An example", 1))
    assert doctor_says(project, code=0) == ""
    corrections = project.folder / "data/corrections.csv"
    corrections.write_text(MARKS.format(corrections.read_text(), ""))
    assert "both sides of a merge are left in data/corrections.csv" in doctor_says(project, code=1)


def test_a_conflict_that_git_still_lists_is_named(project):
    project.run("git", "switch", "-qc", "other")
    write(project.folder / "README.md", "theirs\n")
    project.commit("theirs")
    project.run("git", "switch", "-q", "main")
    write(project.folder / "README.md", "ours\n")
    project.commit("ours")
    project.run("git", "merge", "other", check=False)
    assert "both sides of a merge are left in README.md" in doctor_says(project, code=1)


def test_a_project_that_was_moved_or_copied_is_noticed(project, tmp_path):
    here = project.folder / ".venv/bin"
    old = tmp_path / "old folder/.venv/bin"
    for start in (f"#!{old}/python3", f'#!/bin/sh\n\'\'\'exec\' "{old}/python" "$0" "$@"', f"#!{tmp_path}/python3.11"):
        write(here / "dvc", f"{start}\nimport sys\n")
        said = doctor_says(project, code=1)
        assert "moved or renamed, and that Python is gone" in said and "`make clean`, then `make setup`" in said
    write(old / "python", "")
    write(here / "dvc", f'#!/bin/sh\n\'\'\'exec\' "{old}/python" "$0" "$@"\n')
    assert f"the programs in .venv start {old}/python: this project was copied from there" in doctor_says(
        project, code=1
    )
    for start in (f"#!{here}/python\n", f"#!/bin/sh\n'''exec' {here}/python3.12 \"$0\" \"$@\"\n", "#!/bin/true\n", ""):
        write(here / "dvc", start)
        assert doctor_says(project, code=0) == ""


def test_dvcs_index_in_the_folder_before_a_move_is_set_anew(project, tmp_path):
    del project.environment["DVC_SITE_CACHE_DIR"]
    old = tmp_path / "old/.dvc/tmp/site"
    project.dvc("config", "--local", "core.site_cache_dir", old)
    shutil.rmtree(tmp_path / "old", ignore_errors=True)
    assert f"core.site_cache_dir {old} lies in another project, or where this one was before" in doctor_says(
        project, code=1
    )
    assert "repaired" in doctor_says(project, "--fix", code=0)
    shutil.rmtree(tmp_path / "old", ignore_errors=True)
    assert doctor_says(project, code=0) == ""
    assert project.dvc("config", "core.site_cache_dir").stdout.strip() == str(project.folder / ".dvc/tmp/site")
    assert not old.exists()


@pytest.mark.parametrize("name", ["é", *full("Übung 1", "проект", "写真", "e\u0301")])
def test_letters_beyond_ascii_in_the_path_are_told(project, tmp_path, name):
    moved = project.folder.rename(tmp_path / name)
    said = doctor_says(type(project).at(moved), code=1)
    assert f"the project's path {moved} holds letters beyond ASCII" in said and "--queue" in said


def test_a_low_limit_of_open_files_is_told(project):
    command = f"ulimit -n {{}}; exec {sys.executable} -m kiln doctor --quick"
    done = project.run("bash", "-c", command.format(64), check=False)
    assert done.returncode == 1 and "only 64 files may be open at once" in done.stdout and not done.stderr
    assert not project.run("bash", "-c", command.format("-S 64")).stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("python -m stages.train", "train"),
        ("/p/.venv/bin/python -X utf8 -m kiln search a=1..2", "search"),
        ("/p/.venv/bin/python /p/.venv/bin/kiln doctor --fix", "doctor"),
        ("python -m kiln", None),
        ("vim /home/me/kiln notes", None),
        ("python -m stages", None),
        ("", None),
    ],
)
def test_the_stage_or_command_is_read_from_a_command_line(words, expected):
    assert health.stage_of(words.split()) == expected
