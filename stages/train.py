"""Fit the model of params.yaml's train section on the training images."""

from pathlib import Path

from kiln import params
from kiln.core import entry, files
from kiln.modalities.image import augmentation
from kiln.modalities.image.conversion import Conversion
from kiln.networks import artifact, backend, registry
from kiln.networks.backend import keras
from kiln.store import dataset
from kiln.training import checkpoint, checks, console, loop, pretrained, summary
from kiln.training.feeding import Feed

CLEAN, AUGMENTED, NORMALIZED = Path("data/clean"), Path("data/augmented"), Path("data/normalized")
INPUTS = (
    CLEAN / "manifest.json",
    AUGMENTED / "manifest.json",
    AUGMENTED / augmentation.FILE,
    NORMALIZED / "normalizer.json",
)
OUTPUT = Path("data/model")


def load_inputs() -> tuple[dataset.Dataset, dataset.Dataset, augmentation.Policy, dict]:
    """Open what is trained on: clean images, their views, the augmentation policy and the normaliser.

    Raises:
        UserError: a file is missing or damaged.
    """
    for folder in (CLEAN, AUGMENTED, NORMALIZED):
        files.verify(folder)
    clean, views = dataset.open_dataset(CLEAN, "pixels"), dataset.open_dataset(AUGMENTED, "pixels")
    return clean, views, augmentation.load(AUGMENTED), files.read_json(NORMALIZED / "normalizer.json")


def main() -> None:
    """Train on data/clean/ and its views into data/model/."""
    settings = params.load().train
    registry.check(settings.model)
    clean, views, plan, normalizer = load_inputs()

    how, weights = registry.architecture(settings, clean.image_shape, normalizer), pretrained.find_weights(settings)
    keras.utils.set_random_seed(settings.seed)
    precision = backend.precision(settings.precision)
    classifier = registry.build(how, clean.image_shape, len(clean.classes), normalizer, precision)
    for warning in checks.list_warnings(settings, classifier, precision):
        console.say(warning)
    checks.check_norm(settings, classifier)
    train = Feed([(clean, "train"), (views, "train")], settings.memory)
    validation = Feed([(clean, "validation")], settings.memory)
    registry.prepare(classifier, train.first(registry.ADAPT_IMAGES), weights)
    print(f"train: {how.model} of {classifier.count_params():,} parameters on {train.rows:,} images, {precision}")

    keeper = checkpoint.Keeper(checkpoint.FOLDER / checkpoint.identity(settings, INPUTS, precision), console.say)
    print_epoch = console.epoch_printer(settings.epochs)
    history, kept = loop.fit(classifier, train, validation, plan, settings, print_epoch, keeper)

    with files.publish(OUTPUT) as folder:
        conversion = Conversion(**clean.manifest["conversion"])
        artifact.save(folder, artifact.Classifier(classifier, clean.classes, conversion), how, normalizer)
        files.write_csv(folder / "history.csv", history)
        described = summary.summarize(folder, classifier, settings, train.rows, history, kept)
        files.write_json(folder / "summary.json", described)
    keeper.clear()
    print(f"train: epoch {kept} kept, validation accuracy {history['validation_accuracy'][kept - 1]:.2%}")


if __name__ == "__main__":
    entry.run(main, "train", OUTPUT)
