import tracemalloc

import numpy as np
import pytest

from kiln.training.targets import balance_classes, encode_labels, smooth


def test_targets_and_smoothing_by_hand():
    encoded = encode_labels(np.array([2, 0]), 3)
    assert encoded.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert smooth(encoded, 0.3) == pytest.approx(np.array([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]))
    assert (smooth(encoded, 0) == encoded).all()


def test_targets_of_many_classes_take_their_own_memory_and_no_more():
    labels = np.arange(100) * 99
    tracemalloc.start()
    encoded = encode_labels(labels, 10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (encoded.argmax(axis=1) == labels).all() and (encoded.sum(axis=1) == 1).all()
    assert peak < 1.5 * encoded.nbytes


def test_balanced_weights_by_hand():
    # 12 images: 12 / (3 * 2), 12 / (3 * 4), 12 / (3 * 6)
    assert balance_classes([2, 4, 6]) == pytest.approx([2, 1, 2 / 3])
    assert np.dot(balance_classes([2, 4, 6]), [2, 4, 6]) == pytest.approx(12)
