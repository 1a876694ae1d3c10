"""Trained weights of encoders as files: safetensors of sentence-transformers, and HDF5 of keras-hub."""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from kiln.core import trained
from kiln.core.errors import UserError

Arrays = dict[str, list[np.ndarray]]  # layer of ``encoders`` -> its weights, in the order of Keras
_DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}
_VOCABULARIES = ("vocabulary.txt", "vocab.txt")
_PROJECTIONS = ("query", "key", "value")


def unfit(path: Path, reason: str) -> UserError:
    """Build the error for weights that cannot be used."""
    return UserError(
        f"{path} does not hold the weights of a BERT ({reason}): set train.model.weights to the model.weights.h5 of a "
        "preset of keras-hub, or to an archive of the preset"
    )


def read_sizes(path: Path) -> dict[str, int]:
    """Read the sizes of an encoder from the shapes of its weights.

    Returns:
        blocks, size (of the vector of a token), heads, inner (units within a block), positions and kinds (of tokens).

    Raises:
        UserError: as ``read``.
    """
    arrays = read(path)
    try:
        size, heads, _ = arrays["block1_attention"][0].shape
        return {
            "blocks": sum(name.endswith("_attention") for name in arrays),
            "size": size,
            "heads": heads,
            "inner": arrays["block1_dense1"][0].shape[1],
            "positions": len(arrays["positions"][0]),
            "kinds": len(arrays["tokens"][0]),
        }
    except (KeyError, ValueError, IndexError) as error:
        raise unfit(path, f"{error}") from None


def read_vocabulary_digest(name: str, path: Path) -> str | None:
    """Return the SHA-256 of the vocabulary that comes with a network's weights; None if they come without one."""
    if name == "minilm":
        return trained.MINILM.digests["vocab.txt"]
    content = trained.read_member(path, *_VOCABULARIES)
    return None if content is None else hashlib.sha256(content).hexdigest()


def read(path: Path) -> Arrays:
    """Read weights: a ``.safetensors`` with ``config.json`` beside it, a ``.h5`` of keras-hub, or an archive with one.

    Raises:
        UserError: the file is damaged, or holds other weights.
    """
    try:
        if path.suffix == ".safetensors":
            heads = json.loads(path.with_name("config.json").read_bytes())["num_attention_heads"]
            return _of_transformers(read_safetensors(path), heads)
        with _open_hdf5(path) as file:
            return _of_keras_hub(file)
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise unfit(path, " ".join(str(error).split())[:200]) from None


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read a file of safetensors: eight bytes of length, JSON that describes, and the numbers themselves.

    Raises:
        ValueError: the file is damaged, or a tensor is of a type that NumPy lacks.
        KeyError: the same.
    """
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    about = json.loads(content[8:start])
    about.pop("__metadata__", None)
    return {
        name: np.frombuffer(
            content[start + one["data_offsets"][0] : start + one["data_offsets"][1]], _DTYPES[one["dtype"]]
        ).reshape(one["shape"])
        for name, one in about.items()
    }


def _of_transformers(tensors: dict[str, np.ndarray], heads: int) -> Arrays:
    """Name the tensors of Hugging Face's BertModel as the layers here, and turn them as Keras has them."""

    def norm(name: str) -> list[np.ndarray]:
        return [tensors[f"{name}.weight"], tensors[f"{name}.bias"]]

    def dense(name: str) -> list[np.ndarray]:
        return [tensors[f"{name}.weight"].T, tensors[f"{name}.bias"]]

    arrays = {
        "tokens": [tensors["embeddings.word_embeddings.weight"]],
        "positions": [tensors["embeddings.position_embeddings.weight"]],
        "segments": [tensors["embeddings.token_type_embeddings.weight"]],
        "embedded_norm": norm("embeddings.LayerNorm"),
    }
    size = arrays["tokens"][0].shape[1]
    blocks = {name.split(".")[2] for name in tensors if name.startswith("encoder.layer.")}
    for number in map(int, blocks):
        theirs, ours = f"encoder.layer.{number}", f"block{number + 1}"
        attention = []
        for kind in _PROJECTIONS:
            kernel, bias = dense(f"{theirs}.attention.self.{kind}")
            attention += [kernel.reshape(size, heads, -1), bias.reshape(heads, -1)]
        kernel, bias = dense(f"{theirs}.attention.output.dense")
        arrays[f"{ours}_attention"] = [*attention, kernel.reshape(heads, -1, size), bias]
        arrays[f"{ours}_norm1"] = norm(f"{theirs}.attention.output.LayerNorm")
        arrays[f"{ours}_dense1"] = dense(f"{theirs}.intermediate.dense")
        arrays[f"{ours}_dense2"] = dense(f"{theirs}.output.dense")
        arrays[f"{ours}_norm2"] = norm(f"{theirs}.output.LayerNorm")
    return arrays


@contextmanager
def _open_hdf5(path: Path) -> Iterator[h5py.File]:
    held = trained.read_member(path, "model.weights.h5")
    with h5py.File(path if held is None else io.BytesIO(held), "r") as file:
        yield file


def _of_keras_hub(file: h5py.File) -> Arrays:
    """Name the groups of keras-hub's BertBackbone as the layers here.

    Keras calls groups after their classes, and numbers those after the first of a class.
    """
    layers = file["layers" if "layers" in file else "_layer_checkpoint_dependencies"]  # until Keras 2.13

    def variables(group: h5py.Group) -> list[np.ndarray]:
        found = group["vars"]
        return [found[str(number)][()] for number in range(len(found))]

    arrays = {
        "tokens": variables(layers["reversible_embedding"]),
        "positions": variables(layers["position_embedding"]),
        "segments": variables(layers["embedding"]),
        "embedded_norm": variables(layers["layer_normalization"]),
        "pooled": variables(layers["dense"]),
    }
    for number in range(sum(name.startswith("transformer_encoder") for name in layers)):
        group, ours = layers[f"transformer_encoder_{number}" if number else "transformer_encoder"], f"block{number + 1}"
        inner = group["_self_attention_layer"]
        projections = (inner[f"{kind}_dense"] for kind in (*_PROJECTIONS, "output"))
        arrays[f"{ours}_attention"] = [array for projection in projections for array in variables(projection)]
        arrays[f"{ours}_norm1"] = variables(group["_self_attention_layer_norm"])
        arrays[f"{ours}_dense1"] = variables(group["_feedforward_intermediate_dense"])
        arrays[f"{ours}_dense2"] = variables(group["_feedforward_output_dense"])
        arrays[f"{ours}_norm2"] = variables(group["_feedforward_layer_norm"])
    return arrays
