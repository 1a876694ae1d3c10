"""Fit the model of params.yaml's train section on the training samples."""

from pathlib import Path

from kiln import params
from kiln.core import entry, files
from kiln.modalities import views
from kiln.networks import artifact, backend, registry
from kiln.networks.backend import keras
from kiln.store import dataset
from kiln.training import checkpoint, checks, console, loop, pretrained, summary
from kiln.training.feeding import Feed

CLEAN, AUGMENTED, NORMALIZED = Path("data/clean"), Path("data/augmented"), Path("data/normalized")
INPUTS = (
    CLEAN / "manifest.json",
    AUGMENTED / "manifest.json",
    AUGMENTED / views.FILE,
    NORMALIZED / "normalizer.json",
)
OUTPUT = Path("data/model")


def load_inputs() -> tuple[dataset.Dataset, dataset.Dataset, views.Plan, dict]:
    """Open the inputs of training: clean samples, their views, the augmentation plan and each part's normaliser.

    Raises:
        UserError: a file is missing or damaged.
    """
    for folder in (CLEAN, AUGMENTED, NORMALIZED):
        files.verify(folder)
    clean, augmented = dataset.open_dataset(CLEAN, "clean"), dataset.open_dataset(AUGMENTED, "clean")
    return clean, augmented, views.load(AUGMENTED), files.read_json(NORMALIZED / "normalizer.json")


def main() -> None:
    """Train on data/clean/ and its views into data/model/."""
    settings = params.load(uses="train").train
    registry.check(settings.model.name)
    clean, augmented, plan, fitted = load_inputs()
    checks.check_mixing(settings, clean.parts)
    how = registry.settle(settings, clean.parts, fitted, weights := pretrained.find_weights(settings.model))
    keras.utils.set_random_seed(settings.seed)
    precision = backend.precision(settings.precision)
    classifier = registry.build(how, clean.parts, len(clean.classes), fitted, precision)
    for warning in checks.list_warnings(settings, classifier, precision):
        console.say(warning)
    checks.check_norm(settings, classifier)
    encoders = registry.make_encoders(how, clean.parts, fitted)
    train = Feed([(clean, "train"), (augmented, "train")], settings.memory, encoders)
    validation = Feed([(clean, "validation")], settings.memory, encoders)
    registry.prepare(classifier, train.first(registry.ADAPT_IMAGES), weights)
    print(console.describe(classifier, settings.model.name, train.rows, precision))

    keeper = checkpoint.Keeper(checkpoint.FOLDER / checkpoint.identity(settings, INPUTS, precision), console.say)
    on_epoch = console.epoch_printer(settings.epochs)
    history, kept = loop.fit(classifier, train, validation, plan, settings, on_epoch, keeper)

    with files.publish(OUTPUT) as folder:
        artifact.save(folder, artifact.Classifier(classifier, clean.classes, clean.parts, encoders), how, fitted)
        files.write_csv(folder / "history.csv", history)
        described = summary.summarize(folder, classifier, settings, train.rows, history, kept)
        files.write_json(folder / "summary.json", described)
        # Only the section that DVC tracks for train: a change of another one would leave it out of date here.
        files.write_json(folder / "params.json", {"train": params.resolved(settings)})
    keeper.clear()
    print(f"train: epoch {kept} kept, validation accuracy {history['validation_accuracy'][kept - 1]:.2%}")


if __name__ == "__main__":
    entry.run(main, "train", OUTPUT)
