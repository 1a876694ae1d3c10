"""The vocabulary of trained weights: WordPiece, as BERT splits texts; never fitted here."""

import hashlib
import json
from pathlib import Path

from kiln.core import download, files, trained
from kiln.core.errors import UserError
from kiln.params.text import Normalize

FITTED, MINILM = "fitted", "minilm"
METHOD = "WordPiece"
DEADLINE = 3600  # seconds for a download
_SPECIAL = {"pad": "[PAD]", "unknown": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_KEYS = download.Keys(
    url="normalize.text.tokenizer",
    sha256="normalize.text.tokenizer_sha256",
    path="normalize.text.tokenizer",
    deadline=None,
)
_MOST_LETTERS = 100  # of a word; longer ones are unknown, as in BERT


def load(settings: Normalize) -> dict:
    """Load the tokenizer of trained weights.

    Args:
        settings: the part's normalize section; its tokenizer is not ``fitted``.

    Returns:
        JSON: method, tokenizer (as the library ``tokenizers`` writes it), special (cls, sep, mask and end -> number),
        and vocabulary_sha256, by which weights are known to belong to it.

    Raises:
        UserError: the package or the file is missing, is another one, or holds no vocabulary of BERT.
    """
    path = trained.find(trained.MINILM, "vocab.txt") if settings.tokenizer == MINILM else _find(settings)
    content = _read(path, settings)
    tokens = content.decode("utf-8", "replace").replace("\r\n", "\n").removesuffix("\n").split("\n")
    numbers = {token: number for number, token in enumerate(tokens)}
    special = {name: numbers.get(token) for name, token in _SPECIAL.items()}
    if None in special.values() or special["pad"] != 0 or len(numbers) != len(tokens):
        raise UserError(
            f"{path} is not a vocabulary of BERT, one token per line, {', '.join(_SPECIAL.values())} among them, [PAD] "
            "first: set normalize.text.tokenizer to the vocabulary.txt or vocab.txt of the weights"
        )
    return {
        "method": METHOD,
        "tokenizer": _describe(numbers, settings.lowercase),
        "special": {**{name: special[name] for name in ("cls", "sep", "mask")}, "end": special["sep"]},
        "vocabulary_sha256": hashlib.sha256(content).hexdigest(),
    }


def _find(settings: Normalize) -> Path:
    if "://" in settings.tokenizer:
        return download.fetch(settings.tokenizer, settings.tokenizer_sha256, DEADLINE, keys=_KEYS)
    path = Path(settings.tokenizer)
    if not path.is_file():
        raise UserError(f"normalize.text.tokenizer: {path} does not exist: check the path")
    digest = files.sha256(path)
    if digest != settings.tokenizer_sha256:
        raise UserError(
            f"normalize.text.tokenizer: {path} has the sha256 {digest}, not normalize.text.tokenizer_sha256: use the "
            "right file, or set normalize.text.tokenizer_sha256 to this digest"
        )
    return path


def _read(path: Path, settings: Normalize) -> bytes:
    """Read the vocabulary, from a file or an archive, whose tokenizer says whether case counts."""
    content = trained.read_member(path, "vocabulary.txt", "vocab.txt")
    if content is None:
        return path.read_bytes()
    about = trained.read_member(path, "tokenizer.json")
    lowercase = _read_lowercase(about) if about else None
    if lowercase not in (None, settings.lowercase):
        raise UserError(
            f"params.yaml: normalize.text.lowercase is {str(settings.lowercase).lower()}, but the tokenizer of {path} "
            f"says {str(lowercase).lower()}: set it to that"
        )
    return content


def _read_lowercase(content: bytes) -> bool | None:
    try:
        return json.loads(content)["config"]["lowercase"]
    except (ValueError, KeyError, TypeError):
        return None


def _describe(numbers: dict[str, int], lowercase: bool) -> dict:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(
        models.WordPiece(numbers, unk_token=_SPECIAL["unknown"], max_input_chars_per_word=_MOST_LETTERS)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)  # and without accents, if in small letters
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    # Nothing is added that would be recognised in texts: somebody may write [SEP].
    return json.loads(tokenizer.to_str())
