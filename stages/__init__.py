"""The flow, in order; a module each, run by dvc.yaml as ``python -m stages.<stage>`` from the project's root.

fetch      a source of labelled samples   -> data/raw/
clean      data/raw/                      -> data/clean/       (train, validation, test)
augment    data/clean/ train              -> data/augmented/   (policy, views)
normalize  data/clean/                    -> data/normalized/  (fitted on train alone)
train      clean, augmented, normalized   -> data/model/
evaluate   data/model/, data/clean/       -> data/evaluation/
report     summaries, data/evaluation/    -> metrics/

Each reads as: params, load, a handful of calls, save. What they call lives in ``kiln/``.
"""

import sys

# argv[0] is "-m" only while Python looks for the module of such a command: another import changes nothing.
if sys.argv[:1] == ["-m"]:
    from kiln.core import startup

    startup.begin(sys.orig_argv[-len(sys.argv)].rpartition(".")[2])
