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
