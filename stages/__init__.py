"""The flow, in order, and the commands beside it.

fetch      a source of labelled images    -> data/raw/
clean      data/raw/                      -> data/clean/       (train, validation, test)
augment    data/clean/ train              -> data/augmented/   (policy, views)
normalize  data/clean/                    -> data/normalized/  (fitted on train alone)
train      clean, augmented, normalized   -> data/model/
evaluate   data/model/, data/clean/       -> data/evaluation/
report     summaries, data/evaluation/    -> metrics/

models     the zoo: size, cost, when to choose which (a command, no stage)
predict    classes of image files, by the model in data/model/ (a command, no stage)
compare    what changed against another commit, and whether it may be merged (a command, no stage)
search     better params, one experiment after the other (a command, no stage)
doctor     what DVC and killed runs leave behind, and its repair (a command, no stage)

Every stage is one module with pure functions first and a short ``main`` last;
dvc.yaml runs it as ``python -m stages.<stage>`` from the project's root. What
two stages share lives in ``stages/lib/``.
"""

import _signal  # built in: the public module takes milliseconds to import, in which Ctrl-C would be a traceback
import os
import sys


def _end(number: int, frame) -> None:
    # At once and without an exception, which C code that is being imported may swallow or take for its own fault.
    os.write(_stderr, f"{_name}: stopped by {_signals[number]}\n".encode())
    os._exit(128 + number)


# Under `python -m stages.<name>` these are the first lines that run, before seconds of imports: from here until
# ``entry.run`` takes over, and after it, a signal ends the process with one sentence too. What is ignored (nohup)
# stays so. argv[0] is "-m" only while Python looks for the module of such a command: another import changes nothing.
if sys.argv[:1] == ["-m"]:
    _name = sys.orig_argv[-len(sys.argv)].rpartition(".")[2]
    _signals = {_signal.SIGINT: "SIGINT", _signal.SIGTERM: "SIGTERM", _signal.SIGHUP: "SIGHUP"}
    try:
        _stderr = os.dup(2)  # which is silenced while Keras is imported
    except OSError:  # closed: else the next file that is opened would take its place
        _stderr = os.open(os.devnull, os.O_WRONLY)
    for _number in _signals:
        if _signal.getsignal(_number) != _signal.SIG_IGN:
            _signal.signal(_number, _end)

    from stages.lib import environment

    environment.settle()
