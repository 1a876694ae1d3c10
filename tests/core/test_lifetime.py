import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from makers.effort import full
from makers.projects import ROOT

from kiln import cli
from kiln.core import entry, lifetime
from kiln.core.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from kiln.core import lifetime
with lifetime.only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def raising(number: int):
    with lifetime.obeying_signals():
        os.kill(os.getpid(), number)
        time.sleep(1)


@pytest.fixture(autouse=True)
def no_force(monkeypatch):
    """Else the process of the tests itself would end some seconds after a signal."""
    monkeypatch.setattr(lifetime.threading.Timer, "start", lambda self: None)


@contextmanager
def handled_by(number: int, handler):
    before = signal.signal(number, handler)
    try:
        yield
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", lifetime.SIGNALS)
def test_a_signal_ends_the_work_and_its_handler_with_the_block(number):
    # The tests themselves may run in the background, where some are ignored.
    with handled_by(number, signal.SIG_DFL):
        with pytest.raises(lifetime.Stopped) as stop:
            raising(number)
        assert stop.value.code == 128 + number


WAITS = "import sys\nprint('up', flush=True)\nsys.stdin.read()\n"  # until it is told to go on
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__")
# With what each must be given to start.
COMMANDS = {name: {"predict": ["x"], "recipe": ["x"], "search": ["x"]}.get(name, []) for name in cli.commands.commands}


def copy_code(folder) -> None:
    for name in ("kiln", "stages"):
        shutil.copytree(ROOT / name, folder / name)


@contextmanager
def up(folder: Path, *words: str):
    """Run ``python -m <words>`` with the files of a folder before all others, as far as ``WAITS``."""
    if not (folder / "stages").exists():
        copy_code(folder)
    command, pipe = [sys.executable, "-m", *words], subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "up\n"
        yield process


def stopped(process: subprocess.Popen, number: int) -> tuple[int, str]:
    """Send a signal; give the exit code and what is said on standard error."""
    process.send_signal(number)
    said = process.communicate(timeout=20)[1]
    return process.returncode, said


@pytest.mark.parametrize(("number", "stages"), [(15, ["train"]), *full((2, STAGES), (1, ["train"]))])
def test_a_signal_while_libraries_are_imported_is_one_sentence(tmp_path, number, stages):
    copy_code(tmp_path)
    (tmp_path / "kiln/core/errors.py").write_text(WAITS)  # what every stage and command imports
    started = [(f"stages.{name}",) for name in stages] + [("kiln", name, *words) for name, words in COMMANDS.items()]
    for words in started:
        with handled_by(number, signal.default_int_handler), up(tmp_path, *words) as process:
            name = words[1] if words[0] == "kiln" else words[0].removeprefix("stages.")
            said = f"{name}: stopped by {signal.Signals(number).name}\n"
            assert stopped(process, number) == (128 + number, said)


def test_a_signal_while_keras_is_imported_in_silence_is_one_sentence(tmp_path):
    (tmp_path / "keras.py").write_text(WAITS)
    with handled_by(2, signal.default_int_handler), up(tmp_path, "stages.train") as process:
        assert stopped(process, 2) == (130, "train: stopped by SIGINT\n")
    with handled_by(2, signal.default_int_handler), up(tmp_path, "kiln", "predict", "x.png") as process:
        assert stopped(process, 2) == (130, "predict: stopped by SIGINT\n")


DEMO = """
import sys
from pathlib import Path
from kiln.core import entry
def wait(here):
    if here == {place!r}:
        print("up", flush=True)
        sys.stdin.read()
wait("before")
entry.run(lambda: wait("within"), "demo", Path("out"))
wait("after")
"""


@pytest.mark.parametrize(
    ("place", "more"), [("within", "; its output was not published"), *full(("before", ""), ("after", ""))]
)
def test_a_signal_before_within_and_after_main_is_one_sentence(tmp_path, place, more):
    copy_code(tmp_path)
    (tmp_path / "stages/demo.py").write_text(DEMO.format(place=place))
    with handled_by(2, signal.default_int_handler), up(tmp_path, "stages.demo") as process:
        assert stopped(process, 2) == (130, f"demo: stopped by SIGINT{more}\n")


def test_what_is_ignored_stays_so_while_libraries_are_imported(tmp_path):
    copy_code(tmp_path)
    (tmp_path / "stages/demo.py").write_text(WAITS + "print('whole')")
    with handled_by(signal.SIGHUP, signal.SIG_IGN), up(tmp_path, "stages.demo") as process:
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=20) == ("whole\n", "")


def test_a_command_works_where_standard_error_is_closed(tmp_path):
    copy_code(tmp_path)
    (tmp_path / "stages/demo.py").write_text("from kiln.networks import backend\nprint('whole')")
    command = [sys.executable, "-m", "stages.demo"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *command], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout) == (0, "whole\n")


def test_to_import_stages_changes_no_handler():
    script = "import signal, stages\nprint(*(signal.getsignal(number).__class__.__name__ for number in (1, 2, 15)))"
    told = []
    for code in (script, script.replace(", stages", "")):
        told.append(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout)
    assert told[0] == told[1] != ""


def test_what_nohup_ignores_stays_ignored():
    with handled_by(signal.SIGHUP, signal.SIG_IGN):
        raising(signal.SIGHUP)


def test_a_change_is_made_whole_before_the_process_stops():
    done = []
    with pytest.raises(lifetime.Stopped), lifetime.obeying_signals():
        with lifetime.uninterrupted():
            with lifetime.uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("never")
    assert done == ["inner", "outer"]


def test_a_process_that_cannot_stop_is_ended(tmp_path):
    script = """
import time
from kiln.core import entry, lifetime
lifetime.SECONDS_TO_STOP = 0.5
def main():
    with lifetime.uninterrupted():
        print("up", flush=True)
        time.sleep(60)
entry.run(main, "demo")
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    with process:
        process.stdout.readline()
        process.terminate()
        assert process.wait(timeout=20) == 143


@pytest.mark.parametrize(
    ("end", "speaks"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", True),
        ("os.abort()", True),
        ("pass", False),
        ("raise UserError('no')", False),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(1)", False),
        ("with lifetime.uninterrupted(): os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", False),  # by force
        ("import atexit; atexit.register(time.sleep, 60); os.kill(os.getpid(), signal.SIGTERM); time.sleep(1)", False),
    ],
)
def test_a_stage_that_is_killed_is_spoken_for(tmp_path, end, speaks):
    script = f"""
import os, signal, time
from pathlib import Path
from kiln.core import entry, lifetime
from kiln.core.errors import UserError
lifetime.SECONDS_TO_STOP = 0.5
def main():
    {end}
entry.run(main, "demo", Path({str(tmp_path / "out")!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    sentence = "demo: killed before it finished, most often because memory ran out"
    assert (sentence in done.stderr) == speaks


@pytest.mark.parametrize(
    "words",
    ["RESOURCE_EXHAUSTED: Out of memory", "OOM when allocating tensor with shape[9]", "can't start new thread"],
)
def test_what_libraries_say_of_memory_is_one_sentence(words):
    def main():
        raise RuntimeError(words)

    with pytest.raises(SystemExit, match="demo: out of memory: use smaller samples or batches, or a larger machine"):
        entry.run(main, "demo")


@pytest.mark.parametrize(
    "words",
    [
        "A deterministic GPU implementation of SomeGradient is not currently available.",
        "some_backward_cuda does not have a deterministic implementation, but you set ...",
    ],
)
def test_a_kernel_that_is_not_deterministic_is_one_sentence(words):
    def main():
        raise RuntimeError(words)

    with pytest.raises(
        SystemExit, match=r"demo: the backend has no deterministic GPU kernel .* TF_DETERMINISTIC_OPS=0"
    ):
        entry.run(main, "demo")


def test_another_error_of_a_library_keeps_its_traceback():
    def main():
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        entry.run(main, "demo")


def test_one_writer_at_a_time_and_a_dead_one_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(lifetime, "SECONDS_FOR_THE_LOCK", 0.3)
    output = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(output)], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        refused = pytest.raises(UserError, match=f"process {holder.pid} is writing {output}: wait until")
        with refused, lifetime.only_writer(output):
            pass
        holder.kill()
    with lifetime.only_writer(output):
        assert Path(tmp_path / ".out.lock").read_text() == str(os.getpid())


def test_the_second_writer_waits_for_the_first(tmp_path):
    output = tmp_path / "out"
    hold = HOLD.replace("time.sleep(60)", "time.sleep(0.5); Path(sys.argv[1]).write_text('whole')")
    with subprocess.Popen([sys.executable, "-c", hold, str(output)], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with lifetime.only_writer(output):
            assert output.read_text() == "whole"


def test_a_command_by_hand_does_not_follow_its_parent(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(lifetime.os, "kill", lambda *_: pytest.fail("asked to end"))
    monkeypatch.setattr(lifetime, "_writers", lambda: {1})
    lifetime.end_with_parent()


@pytest.mark.parametrize("text", ["", "[]", '{"write": []}', '{"write": {"a": 1}}', "\xff"])
def test_a_list_of_writers_that_is_not_dvcs_says_nothing(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    Path(".dvc/tmp").mkdir(parents=True)
    Path(".dvc/tmp/rwlock").write_text(text, encoding="latin-1")
    assert lifetime._writers() == set()


def test_elsewhere_than_on_linux_the_parent_is_asked_for(monkeypatch):
    parents, killed = iter([5, 5, 1]), []
    monkeypatch.setattr(lifetime.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(lifetime.time, "sleep", lambda _: None)
    monkeypatch.setattr(lifetime.os, "kill", lambda *of: killed.append(of))
    lifetime._watch(5)
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_a_command_without_output_takes_no_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry.run(lambda: None, "demo")
    assert list(tmp_path.iterdir()) == []
    entry.run(lambda: None, "demo", Path("data/out"))
    assert [path.name for path in tmp_path.rglob("*")] == ["data", ".out.lock"]


def test_a_reader_that_has_enough_is_no_error():
    script = (
        "from kiln.core import entry\nentry.run(lambda: [print('x' * 1000, flush=True) for _ in range(999)], 'demo')"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
