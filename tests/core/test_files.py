import errno
import math
import signal

import numpy as np
import pandas as pd
import pytest

from kiln.core import entry, files, lifetime
from kiln.core.errors import UserError


def test_publish_replaces_the_whole_folder(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with files.publish(target) as folder:
        (folder / "new").touch()
        assert (target / "old").exists()
    assert sorted(path.name for path in target.iterdir()) == ["digests.json", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_the_old_folder(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(KeyboardInterrupt), files.publish(target) as folder:
        (folder / "new").touch()
        raise KeyboardInterrupt
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_json_holds_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"a": math.nan})
    assert not list(tmp_path.iterdir())


def test_floats_are_rounded_to_six_digits_everywhere():
    assert files.rounded({"a": [1 / 3, 2, "x"], "b": {"c": 1e-9 / 3}}) == {
        "a": [0.333333, 2, "x"],
        "b": {"c": 3.33333e-10},
    }


def test_csv_bytes(tmp_path):
    files.write_csv(tmp_path / "x.csv", pd.DataFrame({"a": [1, 2], "b": [1 / 3, 1.0]}))
    assert (tmp_path / "x.csv").read_bytes() == b"a,b\n1,0.333333\n2,1\n"


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff"])
def test_a_damaged_json_file_is_named(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"x\.json is damaged"):
        files.read_json(path)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (UserError("no such key"), 1, "demo: no such key"),
        (OSError(errno.ENOSPC, "x", "data/raw"), 1, "demo: data/raw: the disk is full"),
        (PermissionError(errno.EACCES, "x", "a.jpg"), 1, "demo: a.jpg: permission denied"),
        (MemoryError(), 1, "out of memory"),
        (lifetime.Stopped(signal.SIGINT), 130, "demo: stopped by SIGINT"),
        (lifetime.Stopped(signal.SIGTERM), 143, "demo: stopped by SIGTERM"),
    ],
)
def test_an_error_that_a_user_can_cause_is_one_sentence(capsys, error, code, says):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        entry.run(main, "demo")
    printed = capsys.readouterr().err
    assert says in (end.value.code if isinstance(end.value.code, str) else printed)
    assert code == (1 if isinstance(end.value.code, str) else end.value.code)


def test_our_own_mistakes_keep_their_traceback():
    def main():
        raise TypeError("bug")

    with pytest.raises(TypeError):
        entry.run(main, "demo")


def test_a_forgotten_memory_map_is_read_again(tmp_path):
    np.arange(2**20, dtype=np.uint8).tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.uint8, "r")
    before = mapped.sum()
    files.forget(mapped)
    assert mapped.sum() == before
    files.forget(np.zeros(3))


def test_what_was_published_is_checked_file_by_file(tmp_path):
    target = tmp_path / "out"
    with files.publish(target) as folder:
        files.write_json(folder / "manifest.json", {"shards": [{"file": "train/0.parquet"}]})
        files.write_bytes(folder / "train/0.parquet", b"checked by the manifest")
        files.write_bytes(folder / "a.csv", b"a")
        files.write_bytes(folder / "b.csv", b"b")
    assert set(files.read_json(target / files.DIGESTS)) == {"manifest.json", "a.csv", "b.csv"}
    files.verify(target)
    (target / "b.csv").write_bytes(b"c")
    files.verify(target, "a.csv")
    with pytest.raises(
        UserError, match=r"b\.csv was changed after it was written: delete .*out and run `dvc checkout`"
    ):
        files.verify(target)
    (target / "b.csv").unlink()
    with pytest.raises(UserError, match=r"b\.csv is missing"):
        files.verify(target, "b.csv")
    (target / files.DIGESTS).unlink()
    with pytest.raises(UserError, match=r"digests\.json is missing: run `dvc repro`"):
        files.verify(target)


def test_a_csv_holds_no_infinite_number_and_a_missing_one_is_empty(tmp_path):
    path, frame = tmp_path / "x.csv", pd.DataFrame({"name": ["a", "b"], "figure": [1.0, math.nan]})
    files.write_csv(path, frame)
    assert path.read_text().splitlines() == ["name,figure", "a,1", "b,"]
    with pytest.raises(ValueError, match=r"x\.csv: a number is infinite"):
        files.write_csv(path, frame.fillna(math.inf))
    assert path.read_text().splitlines()[2] == "b,"


def test_room_is_asked_for_before_it_is_used(tmp_path):
    files.need_room(tmp_path, 1)
    with pytest.raises(UserError, match=r"needs 1,000,000,000,000\.0 MB, but its disk has only .* MB left: free some"):
        files.need_room(tmp_path, 10**18)


@pytest.mark.skipif(not hasattr(files.ctypes.CDLL(None), "renameat2"), reason="only Linux exchanges folders in a step")
def test_old_and_new_change_places_in_one_step(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name / name).mkdir(parents=True)
    assert files._exchanged(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "one/other").is_dir() and (tmp_path / "other/one").is_dir()
    assert not files._exchanged(tmp_path / "one", tmp_path / "missing")


@pytest.mark.parametrize("atomic", [True, False])
def test_publishing_needs_no_deletion_that_could_fail_half_way(tmp_path, monkeypatch, atomic):
    if not atomic:
        monkeypatch.setattr(files, "_exchanged", lambda *_: False)
    with files.publish(tmp_path / "out") as folder:
        (folder / "old").touch()
    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: None)  # as without file handles
    with files.publish(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["digests.json", "new"]


def test_a_signal_while_old_and_new_change_places_waits(tmp_path, monkeypatch):
    target = tmp_path / "out"
    (target / "old").mkdir(parents=True)

    def interrupted(*_):
        signal.raise_signal(signal.SIGTERM)
        return False

    monkeypatch.setattr(files, "_exchanged", interrupted)
    monkeypatch.setattr(lifetime.threading.Timer, "start", lambda self: None)
    with pytest.raises(lifetime.Stopped), lifetime.obeying_signals(), files.publish(target) as folder:
        (folder / "new").touch()
    assert sorted(path.name for path in target.iterdir()) == ["digests.json", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
