"""Fit the model of params.yaml's train section on the training samples."""

from pathlib import Path

from kiln import params
from kiln.core import entry, files
from kiln.modalities import views
from kiln.networks import artifact, backend, registry
from kiln.networks.backend import keras
from kiln.networks.parts import Architecture
from kiln.store import dataset
from kiln.training import checkpoint, checks, console, loop, pretrained, pretraining, summary
from kiln.training.feeding import Feed

CLEAN, AUGMENTED, NORMALIZED = Path("data/clean"), Path("data/augmented"), Path("data/normalized")
UNLABELLED = CLEAN / "unlabelled"  # where there are texts without labels
INPUTS = (
    CLEAN / "manifest.json",
    UNLABELLED / "manifest.json",
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


def build(
    settings: params.Train, data: dataset.Dataset, fitted: dict, weights: Path | None, precision: str
) -> tuple[artifact.Classifier, dict[str, Architecture]]:
    """Build the network with new weights; also return how each part's is built.

    Raises:
        UserError: the settings do not fit the data or the network.
    """
    how = registry.settle(settings, data.parts, fitted, weights)
    network = registry.build(how, data.parts, len(data.classes), fitted, precision)
    for warning in checks.list_warnings(settings, network, precision):
        console.say(warning)
    checks.check_norm(settings, network)
    encoders = registry.make_encoders(how, data.parts, fitted)
    return artifact.Classifier(network, data.classes, data.parts, encoders), how


def pretrain(
    classifier: artifact.Classifier, data: dataset.Dataset, fitted: dict, settings: params.Train, place: Path
) -> dict:
    """Let the model learn from the training texts, and those without labels, where epochs of that are asked for.

    Returns:
        pretraining: what its ``fit`` returns; nothing where there are none.
    """
    epochs = checks.pretraining_epochs(settings)
    if not epochs:
        return {}
    further = [dataset.open_dataset(UNLABELLED, "unlabelled")] if UNLABELLED.is_dir() else []
    texts = Feed([(one, "train") for one in (data, *further)], settings.memory, classifier.encoders)
    (about,) = fitted.values()
    keeper = checkpoint.Keeper(place / "pretraining", console.say)
    on_epoch = console.pretraining_printer(epochs)
    return {"pretraining": pretraining.fit(classifier.model, texts, about, settings, on_epoch, keeper)}


def main() -> None:
    """Train on data/clean/ and its views into data/model/."""
    settings = params.load(uses="train").train
    registry.check(settings.model.name)
    clean, augmented, plan, fitted = load_inputs()
    checks.check_mixing(settings, clean.parts)
    checks.check_pretraining(settings, clean.parts)
    weights, precision = pretrained.find_weights(settings.model), backend.precision(settings.precision)
    keras.utils.set_random_seed(settings.seed)
    classifier, how = build(settings, clean, fitted, weights, precision)
    network = classifier.model
    train = Feed([(clean, "train"), (augmented, "train")], settings.memory, classifier.encoders)
    validation = Feed([(clean, "validation")], settings.memory, classifier.encoders)
    registry.prepare(network, train.first(registry.ADAPT_IMAGES), weights, train.encoded)
    print(console.describe(network, settings.model.name, train.rows, precision))

    keeper = checkpoint.Keeper(
        checkpoint.FOLDER / checkpoint.identity(settings, filter(Path.is_file, INPUTS), precision), console.say
    )
    taught = pretrain(classifier, clean, fitted, settings, keeper.folder)
    on_epoch = console.epoch_printer(settings.epochs)
    history, kept = loop.fit(network, train, validation, plan, settings, on_epoch, keeper)

    with files.publish(OUTPUT) as folder:
        artifact.save(folder, classifier, how, fitted)
        files.write_csv(folder / "history.csv", history)
        described = summary.summarize(folder, network, settings, train.rows, history, kept)
        files.write_json(folder / "summary.json", described | files.rounded(taught))
        # Only the section that DVC tracks for train: a change of another one would leave it out of date here.
        files.write_json(folder / "params.json", {"train": params.resolved(settings)})
    keeper.clear()
    print(f"train: epoch {kept} kept, validation accuracy {history['validation_accuracy'][kept - 1]:.2%}")


if __name__ == "__main__":
    entry.run(main, "train", OUTPUT)
