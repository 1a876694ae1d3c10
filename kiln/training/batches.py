"""The batches of an epoch: views, mixing, targets and weights, ready for a training step."""

import itertools
from collections.abc import Iterator

import numpy as np

from kiln import params
from kiln.core import parallel, randomness
from kiln.modalities import views
from kiln.training import mixing
from kiln.training.feeding import Batch, Feed
from kiln.training.targets import balance_classes, encode_labels, smooth


def epoch_batches(
    feed: Feed, plan: views.Plan, settings: params.Train, epoch: int, start: int = 0
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]]:
    """Yield (values, targets, weights) of an epoch; each batch is prepared while the previous one trains.

    Order, views and mixing depend only on (train.seed, epoch, item).

    Args:
        feed: the training samples.
        plan: the augmentation, applied if it is online.
        settings: the train section.
        epoch: from 0.
        start: number of batches to skip, as already trained on.

    Yields:
        part -> encoded values [N, ...], float32 [N, classes], float32 [N].
    """
    balanced = settings.class_weight == "balanced"
    class_weights = balance_classes(feed.counts()) if balanced else np.ones(feed.classes, np.float32)

    def prepare(batch: Batch):
        values, targets = batch.parts, encode_labels(batch.labels, feed.classes)
        if plan.online:
            values = plan.apply(values, randomness.key(settings.seed, "views", batch.keys), epoch)
        if settings.mixup or settings.cutmix:
            keys = randomness.key(settings.seed, "mix", epoch, batch.keys)
            values, targets = mixing.mix(feed.parts, values, targets, settings.mixup, settings.cutmix, keys)
        return feed.encode(values), smooth(targets, settings.label_smoothing), targets @ class_weights

    shuffled = itertools.islice(feed.shuffled(settings.seed, epoch, settings.batch_size), start, None)
    return parallel.ordered_map(prepare, shuffled, workers=1)
