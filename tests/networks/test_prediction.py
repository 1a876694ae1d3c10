import numpy as np
import pytest
from makers.images import noise
from makers.networks import NONE, classifier

from kiln.networks import prediction
from kiln.networks.backend import keras


def network(side: int, filters: int) -> keras.Model:
    inputs = keras.Input((side, side, 3))
    return keras.Model(inputs, keras.layers.Conv2D(filters, 1)(inputs))


def test_the_batch_is_what_fits_by_hand():
    # 64 x 64 places of 3 channels read and 61 written, 4 bytes each, held twice: 2 MiB an image.
    assert prediction.batch_size(network(64, 61)) == prediction.BYTES // 2**21 == 512
    assert prediction.batch_size(network(128, 61)) == 128
    assert prediction.batch_size(network(8, 61)) == prediction.MOST
    assert prediction.batch_size(network(1024, 509)) == 1  # 4 GiB an image: it is tried nevertheless


def test_layers_of_a_network_within_count():
    inner = network(128, 61)
    inputs = keras.Input((128, 128, 3))
    outer = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inner(inputs)))
    assert prediction.batch_size(outer) == prediction.batch_size(inner) == 128
    # 80 x 80 places, 96 channels in and out, of MobileNetV2.
    made = classifier("applications/MobileNetV2", (160, 160, 3), 4, NONE)
    assert prediction.batch_size(made) <= prediction.BYTES // (2 * 4 * 2 * 80 * 80 * 96)


def test_attention_counts_by_its_pairs_of_tokens():
    inputs = keras.Input((1024, 64))
    made = keras.Model(inputs, keras.layers.MultiHeadAttention(2, 32)(inputs, inputs))
    # Two heads' scores, 4 bytes each, before and after the softmax, held twice: 32 MiB and a little.
    assert prediction.batch_size(made) == 30


def test_networks_of_the_recipes_are_not_cut_into_smaller_batches_than_before():
    for width in (1.0, 2.5):
        assert prediction.batch_size(classifier("fast_cnn", (32, 32, 3), 10, depth=3, width=width)) == 512


def test_outputs_are_those_of_all_inputs_at_once(monkeypatch):
    made = classifier("article_cnn", (16, 16, 3))
    pixels = np.stack([noise(i, 16, 16, 3) for i in range(7)])
    sizes, whole = [], made.predict_on_batch({"image": pixels})
    monkeypatch.setattr(prediction, "batch_size", lambda _: 3)
    own = made.predict_on_batch
    monkeypatch.setattr(made, "predict_on_batch", lambda part: (sizes.append(len(part["image"])), own(part))[1])
    found = prediction.outputs(made, {"image": pixels})
    assert sizes == [3, 3, 1]
    assert found.dtype == np.float32 and found == pytest.approx(whole, abs=1e-6)


def test_samples_of_similar_length_are_computed_together_and_come_back_in_order(monkeypatch):
    inputs = keras.Input((None,))
    made = keras.Model(inputs, keras.ops.sum(inputs, axis=1, keepdims=True))
    rows = np.array(["7" * count for count in (5, 1, 4, 1, 9, 2, 8)], object)
    seen = []

    def encode(batch):
        seen.append([len(row) for row in batch])
        longest = max(seen[-1])
        return np.array([[float(sign) for sign in row.ljust(longest, "0")] for row in batch])

    monkeypatch.setattr(prediction, "batch_size", lambda _: 3)
    found = prediction.outputs(made, rows, encode, np.array([len(row) for row in rows]))
    assert seen == [[1, 1, 2], [4, 5, 8], [9]]
    assert found.ravel().tolist() == [7 * len(row) for row in rows]
