"""The tokenizer and the n-grams, both fitted on train alone, and how texts become numbers by them.

Tokens are those of byte-level BPE (Sennrich et al., "Neural machine translation of rare words
with subword units", ACL 2016, on bytes as in GPT-2): no text is unknown to it, in any script.
N-grams are runs of words and of characters, hashed into buckets; those that too few training
texts have are left out.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from kiln.modalities.text import vocabulary
from kiln.modalities.text.formats import MASKED, SEPARATOR
from kiln.modalities.text.ngrams import BUCKETS, HALF, WORD, hash_ngrams
from kiln.params.text import Normalize

TOKENS, NGRAMS = "tokens", "ngrams"
FORMS = (NGRAMS, TOKENS)
# The first tokens: padding has the number 0, which networks mask.
SPECIAL = ("<pad>", "<cls>", "<sep>", "<mask>", "<end>")
PAD, CLS, SEP, MASK, END = range(len(SPECIAL))
MULTIPLE = 16  # batches are padded to a multiple of this length, so that few shapes occur
REMEMBERED = 2**26  # numbers of texts that an encoder keeps at most, of 4 bytes each
_CHUNK = re.compile(r"\s*\S+")
_REPEATS = 10_000


@dataclass
class Statistics:
    """What is counted of texts; sums over batches.

    Attributes:
        chunks: word with the blanks before it -> how often it occurs, in any case.
        words: number of words -> texts of that length.
        buckets: int64 [BUCKETS]: texts in which n-grams of a bucket occur.
    """

    chunks: Counter = field(default_factory=Counter)
    words: Counter = field(default_factory=Counter)
    buckets: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))

    def __add__(self, other: "Statistics") -> "Statistics":
        self.chunks.update(other.chunks)
        self.words.update(other.words)
        self.buckets += other.buckets
        return self

    @property
    def texts(self) -> int:
        """How many there are."""
        return self.words.total()


def count(values: np.ndarray) -> Statistics:
    """Count words, lengths and n-grams of texts."""
    chunks, words = Counter(), Counter()
    for text in values:
        chunks.update(_CHUNK.findall(text))
        words[len(WORD.findall(text))] += 1
    return Statistics(chunks, words, np.bincount(hash_ngrams(values).indices, minlength=BUCKETS))


def fit(statistics: Statistics, settings: Normalize) -> dict:
    """Fit tokenizer and n-grams.

    Args:
        statistics: of the training texts.
        settings: the part's normalize section.

    Returns:
        JSON: method, max_tokens (of a text, those of its ends included), the tokenizer as the library
        ``tokenizers`` writes it (of trained weights: with what ``vocabulary.load`` tells), texts (of train), and
        buckets and texts_with of the n-grams that are kept, those of words (as many as ``words`` says) before those
        of characters; the most frequent, if there are too many.

    Raises:
        UserError: the tokenizer of trained weights is missing or another one.
    """
    counts = statistics.buckets
    kept = np.flatnonzero(counts >= settings.min_texts)
    if len(kept) > settings.max_ngrams:
        kept = np.sort(kept[np.argsort(-counts[kept], kind="stable")[: settings.max_ngrams]])
    is_fitted = settings.tokenizer == vocabulary.FITTED
    return {
        **(_fit_tokenizer(statistics.chunks, settings) if is_fitted else vocabulary.load(settings)),
        "max_tokens": -(-settings.max_tokens // MULTIPLE) * MULTIPLE,
        "texts": statistics.texts,
        "words": int((kept < HALF).sum()),
        "buckets": kept.tolist(),
        "texts_with": counts[kept].tolist(),
    }


def _fit_tokenizer(chunks: Counter, settings: Normalize) -> dict:
    # Without those that are recognised in texts: somebody may write <pad>.
    tokenizer = {**json.loads(_train_tokenizer(chunks, settings).to_str()), "added_tokens": []}
    return {"method": "byte-level BPE", "tokenizer": tokenizer}


def _train_tokenizer(chunks: Counter, settings: Normalize):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    if settings.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(settings.vocabulary, len(SPECIAL) + 256),
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeat(chunks), trainer)
    return tokenizer


def _repeat(chunks: Counter) -> Iterator[str]:
    # The trainer takes texts, not counts. Sorted, since the order in which words came must not matter.
    for chunk, number in sorted(chunks.items()):
        while number > 0:
            yield chunk * min(number, _REPEATS)
            number -= _REPEATS


def describe(statistics: Statistics, train: Statistics) -> dict:
    """Describe a split's lengths and vocabulary against train's.

    Returns:
        mean, std, median (words of a text), unknown (share of its words that train does not have) and shift
        (distance of the mean from train's, in train's standard deviations), each a list of one number.
    """
    mean, std = _moments(statistics.words)
    center, spread = _moments(train.words)
    words, known = _count_words(statistics.chunks), _count_words(train.chunks)
    total, unknown = words.total(), sum(number for word, number in words.items() if word not in known)
    return {
        "mean": [mean],
        "std": [std],
        "median": [_median(statistics.words)],
        "unknown": [unknown / total if total else 0.0],
        "shift": [(mean - center) / spread if spread else 0.0],
    }


def _count_words(chunks: Counter) -> Counter:
    words: Counter = Counter()
    for chunk, number in chunks.items():
        for word in WORD.findall(chunk.lower()):
            words[word] += number
    return words


def _moments(lengths: Counter) -> tuple[float, float]:
    total = lengths.total()
    if not total:
        return 0.0, 0.0
    mean = sum(length * number for length, number in lengths.items()) / total
    return mean, (sum(number * (length - mean) ** 2 for length, number in lengths.items()) / total) ** 0.5


def _median(lengths: Counter) -> float:
    ordered = sorted(lengths.items())
    return float(np.repeat(*np.array(ordered or [(0, 1)]).T)[(lengths.total() or 1) // 2])


def count_kinds(form: str, fitted: dict) -> int:
    """Return how many different tokens or n-grams there are, padding included."""
    if form == NGRAMS:
        return len(fitted["buckets"]) + 1
    return len(fitted["tokenizer"]["model"]["vocab"])


def make_encoder(form: str, fitted: dict) -> "Encoder":
    """Return the function from texts to numbers, int32 [N, L], each row padded with 0 at its end.

    Tokens: <cls>, the text's (of two texts with <sep> between), <end>; longer texts lose their middle.
    N-grams: the different ones of a text, in the order of their numbers.
    """
    return Encoder(fitted, _number_ngrams(fitted) if form == NGRAMS else _number_tokens(fitted))


class Encoder:
    """From texts to numbers, which it remembers.

    Args:
        fitted: as ``fit`` returns it.
        number: texts -> the numbers of each, int32 [L].
    """

    def __init__(self, fitted: dict, number: Callable[[list[str]], list[np.ndarray]]):
        self.fitted, self.number = fitted, number
        self.known: dict[str, np.ndarray] = {}
        self.kept = 0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return int32 [N, L]."""
        # Every epoch asks for the same texts, and a batch of n-grams takes longer to number than to train on.
        new = [value for value in dict.fromkeys(values) if value not in self.known]
        numbered = dict(zip(new, self.number(new), strict=True)) if new else {}
        self.kept += sum(map(len, numbered.values()))
        if self.kept <= REMEMBERED:
            self.known.update(numbered)
        return _pad([numbered[value] if value in numbered else self.known[value] for value in values])

    def locate(self, text: str) -> np.ndarray:
        """Find the characters of each token of a text: begin and end, int [L, 2]; both -1 for marks between texts."""
        tokenizer, spans, start = load_tokenizer(self.fitted), [], 0
        for part in text.split(SEPARATOR):
            spans += [(-1, -1), *((start + begin, start + end) for begin, end in tokenizer.encode(part).offsets)]
            start += len(part) + 1
        return np.array([(-1, -1), *_shorten(spans[1:], self.fitted["max_tokens"] - 2), (-1, -1)])


def _number_tokens(fitted: dict) -> Callable[[list[str]], list[np.ndarray]]:
    tokenizer, most, mark = load_tokenizer(fitted), fitted["max_tokens"], special(fitted)
    masked = _number_masked(tokenizer)

    def number(values: list[str]) -> list[np.ndarray]:
        texts = [value.split(SEPARATOR) for value in values]
        ids = (encoding.ids for encoding in tokenizer.encode_batch_fast([part for text in texts for part in text]))
        rows = (list(chain.from_iterable([mark["sep"], *next(ids)] for _ in text))[1:] for text in texts)
        numbers = [np.array([mark["cls"], *_shorten(row, most - 2), mark["end"]], np.int32) for row in rows]
        return [np.where(row == masked, np.int32(mark["mask"]), row) for row in numbers]

    return number


def _number_masked(tokenizer) -> int:
    from tokenizers import AddedToken

    # As every byte, it has a token of its own, by the sign that stands for it; no merge was learnt with it.
    if (number := tokenizer.token_to_id(chr(256 + ord(MASKED)))) is not None:
        return number
    tokenizer.add_tokens([AddedToken(MASKED, normalized=False)])  # WordPiece, which knows letters instead of bytes
    return tokenizer.token_to_id(MASKED)


def special(fitted: dict) -> dict[str, int]:
    """Return the numbers of the tokens that no text has: cls, sep, mask and end; padding is 0."""
    return fitted.get("special", {"cls": CLS, "sep": SEP, "mask": MASK, "end": END})


def load_tokenizer(fitted: dict):
    """Build the tokenizer that ``fit`` returned.

    Raises:
        ValueError: it is damaged.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(json.dumps(fitted["tokenizer"]))
    except Exception as error:  # the library raises no narrower one
        raise ValueError("the tokenizer is damaged") from error


def _shorten(ids: list, most: int) -> list:
    # Titles and verdicts stand at the beginning and at the end.
    if len(ids) <= most:
        return ids
    return ids[: most - most // 4] + ids[len(ids) - most // 4 :]


def _number_ngrams(fitted: dict) -> Callable[[list[str]], list[np.ndarray]]:
    numbers = np.zeros(BUCKETS, np.int32)
    numbers[fitted["buckets"]] = np.arange(1, len(fitted["buckets"]) + 1)

    def number(values: list[str]) -> list[np.ndarray]:
        table = hash_ngrams(values)
        rows = (numbers[row] for row in np.split(table.indices, table.indptr[1:-1]))
        return [np.sort(row[row > 0]) for row in rows]

    return number


def _pad(rows: list) -> np.ndarray:
    longest = max(map(len, rows), default=0)
    padded = np.zeros((len(rows), max(1, -(-longest // MULTIPLE)) * MULTIPLE), np.int32)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded
