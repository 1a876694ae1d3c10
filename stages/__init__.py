"""The pipeline's stages in order, one module each; dvc.yaml runs ``python -m stages.<stage>`` from the root folder.

fetch      a source of labelled samples   -> data/raw/
clean      data/raw/                      -> data/clean/       (train, validation, test)
augment    data/clean/ train              -> data/augmented/   (policy, views)
normalize  data/clean/                    -> data/normalized/  (fitted on train alone)
train      clean, augmented, normalized   -> data/model/
evaluate   data/model/, data/clean/       -> data/evaluation/
report     summaries, data/evaluation/    -> metrics/

Each reads as: params, load, a handful of calls, save. The functions that they call are in ``kiln/``.
"""

import sys

# argv[0] is "-m" only while Python looks up the module of the command line: other imports change nothing.
if sys.argv[:1] == ["-m"]:
    from kiln.core import startup

    startup.begin(sys.orig_argv[-len(sys.argv)].rpartition(".")[2])
