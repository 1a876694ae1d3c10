"""Trained encoders of a few numbers: a preset that keras-hub wrote, and a package like that of MiniLM."""

import hashlib
import json
from pathlib import Path

import numpy as np
from scipy.special import erf, softmax

from kiln.core.trained import Package

# BertBackbone(vocabulary_size=30, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16,
# max_sequence_length=32) with drawn weights and its tokenizer, by `save_to_preset` of keras-hub 0.32.0 ...
PRESET = Path(__file__).with_name("bert_preset.zip")
PRESET_SHA256 = hashlib.sha256(PRESET.read_bytes()).hexdigest()
# ... and its pooled_output for these token_ids, with segment_ids of 1 after the first [SEP] of the second.
NUMBERS = np.array([[2, 25, 26, 28, 3, 0, 0, 0], [2, 25, 27, 3, 26, 29, 3, 0]], np.int32)
POOLED = [
    [-0.66991353, -0.23384353, 0.35996076, 0.27965796, 0.65257329, -0.24731536, -0.70182091, -0.99522948],
    [-0.49180982, -0.5890457, 0.39043444, 0.48144394, 0.08271809, -0.33953067, -0.49912667, -0.99616861],
]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    "cat",
    "!",
]
HEADS, SIZE, INNER, POSITIONS = 3, 12, 24, 64


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write tensors of float32 as the package ``safetensors`` does."""
    about, start = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors.items():
        about[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, start + tensor.nbytes]}
        start += tensor.nbytes
    head = json.dumps(about).encode()
    data = b"".join(tensor.tobytes() for tensor in tensors.values())
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


def draw_tensors(blocks: int = 2) -> dict[str, np.ndarray]:
    """Draw the tensors of a BertModel of Hugging Face, whose dense kernels are [outputs, inputs]."""
    generator = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), SIZE),
        "embeddings.position_embeddings.weight": (POSITIONS, SIZE),
        "embeddings.token_type_embeddings.weight": (2, SIZE),
        **_norm("embeddings.LayerNorm"),
        "pooler.dense.weight": (SIZE, SIZE),
    }
    for number in range(blocks):
        name = f"encoder.layer.{number}"
        for kind in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _dense(f"{name}.attention.{kind}", SIZE, SIZE)
        shapes |= _norm(f"{name}.attention.output.LayerNorm") | _norm(f"{name}.output.LayerNorm")
        shapes |= _dense(f"{name}.intermediate.dense", SIZE, INNER) | _dense(f"{name}.output.dense", INNER, SIZE)
    around = {name: float(name.endswith("LayerNorm.weight")) for name in shapes}
    return {name: generator.normal(around[name], 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (SIZE,), f"{name}.bias": (SIZE,)}


def _dense(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def embed(tensors: dict[str, np.ndarray], numbers: list[int], kinds: list[int]) -> np.ndarray:
    """Compute the mean vector of a text's tokens, as all-MiniLM does, in plain NumPy and 64 bits."""
    get = {name: tensor.astype(float) for name, tensor in tensors.items()}

    def norm(x, name):
        x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-12)
        return x * get[f"{name}.weight"] + get[f"{name}.bias"]

    def dense(x, name):
        return x @ get[f"{name}.weight"].T + get[f"{name}.bias"]

    x = get["embeddings.word_embeddings.weight"][numbers] + get["embeddings.token_type_embeddings.weight"][kinds]
    x = norm(x + get["embeddings.position_embeddings.weight"][: len(numbers)], "embeddings.LayerNorm")
    for number in range(2):
        name = f"encoder.layer.{number}"
        query, key, value = (dense(x, f"{name}.attention.self.{kind}") for kind in ("query", "key", "value"))
        parts = zip(*(np.split(array, HEADS, axis=1) for array in (query, key, value)), strict=True)
        seen = [softmax(q @ k.T / np.sqrt(SIZE / HEADS), axis=1) @ v for q, k, v in parts]
        x = norm(
            x + dense(np.concatenate(seen, axis=1), f"{name}.attention.output.dense"),
            f"{name}.attention.output.LayerNorm",
        )
        y = dense(x, f"{name}.intermediate.dense")
        y = dense(y * (1 + erf(y / np.sqrt(2))) / 2, f"{name}.output.dense")
        x = norm(x + y, f"{name}.output.LayerNorm")
    return x.mean(axis=0)


def write_package(folder: Path, monkeypatch) -> dict[str, np.ndarray]:
    """Write a package like MiniLM's, in its place; returns its tensors."""
    inner, tensors = folder / "tiny_minilm/model", draw_tensors()
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("raise AssertionError('a package of weights is never imported')")
    (inner / "config.json").write_text(json.dumps({"num_attention_heads": HEADS}))
    (inner / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    write_safetensors(inner / "model.safetensors", tensors)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in inner.iterdir()}
    package = Package("tiny-minilm", "0.1", "tiny_minilm/model", digests, "tiny", "none")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr("kiln.core.trained.MINILM", package)
    return tensors
