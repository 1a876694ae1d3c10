"""Knobs of the modality text, section by section."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from kiln.params import types
from kiln.params.types import Action, Address, Digest, Fraction, Section, knob

Strength = Annotated[float, Field(ge=0, le=0.5)]


def _columns(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    several = isinstance(value, list) and not 2 <= len({*map(str, names)}) == len(names)
    if several or not all(isinstance(name, str) and name for name in names):
        raise ValueError("should be auto, the name of a column, or a list of different names")
    return value


class Fetch(Section):
    """Where a text stands in a table."""

    column: Annotated[str | list[str], BeforeValidator(_columns)] = knob(
        "auto", "of a table, or [one, two]: joined; auto: text, sentence, content, review, question or title"
    )


class Clean(Section):
    """How bytes become text, and faults that only texts have."""

    max_bytes: int = knob(1_000_000, "longer texts are set aside unread", ge=1, le=10**8)
    fallback_encoding: str = knob("auto", "of texts that are not UTF-8, such as cp1252; auto: found out", min_length=1)
    repair: bool = knob(True, "undo wrong decodings, such as cafÃ© for café, wherever they are certain")
    mask_personal: bool = knob(False, "replace mail addresses, phone and card numbers by <email>, <phone>, <card>")
    encoding: Action = knob("flag", "not UTF-8, wrongly decoded, or with control or lost characters")
    too_short: Action = knob("flag", "fewer characters than min_chars; empty texts are undecodable")
    min_chars: int = knob(2, "characters", ge=1)
    too_long: Action = knob("flag", "more characters than max_chars")
    max_chars: int = knob(20_000, "characters", ge=1)
    other_script: Action = knob("flag", "share of letters in the script of nearly all texts below min_script_share")
    min_script_share: Fraction = knob(0.5, "fraction of the letters, such as Latin or Cyrillic ones")
    other_language: Action = knob("flag", "probability of the language below min_language; short texts are not judged")
    language: Annotated[str, Field(pattern=r"^([a-z]{2,3})?$")] = knob(
        "", "two or three letters of ISO 639, such as en; empty: not checked"
    )
    min_language: Fraction = knob(0.05, "probability that the text is in that language")
    markup: Action = knob("flag", "share of HTML above max_markup")
    max_markup: Fraction = knob(0.1, "fraction of the characters that are tags and entities")
    personal_data: Action = knob("flag", "more than max_personal mail addresses, phone and card numbers")
    max_personal: int = knob(0, "count per text", ge=0)
    repetitive: Action = knob("flag", "repetition above max_repetition")
    max_repetition: Fraction = knob(0.5, "fraction of all runs of eight characters that occur before in the text")
    near_duplicate_score: Literal["auto"] | Annotated[float, Field(ge=0.5, le=1)] = knob(
        "auto", "fraction of common runs of five characters from which two texts are copies; auto: 0.8"
    )


class Augment(Section):
    """How far a view may differ from its text; 0 is off. Where a word decides the label, leave words in place."""

    crop: Fraction = knob(0, "fraction of the words: up to so many are cut off at the ends")
    drop_words: Strength = knob(0, "probability of each word to be left out; in scripts without spaces, of a character")
    swap_words: Strength = knob(0, "probability of each word to change places with the next")
    drop_chars: Strength = knob(0, "probability of each letter to be left out")
    swap_chars: Strength = knob(0, "probability of each letter to change places with the next")
    typos: Strength = knob(0, "probability of each letter to become one beside it on the keyboard")
    misspell: Strength = knob(
        0, "probability of each word of Latin letters to be misspelt: a letter doubled, ei for ie"
    )
    mask_words: Strength = knob(0, "probability of each word to be hidden: the network sees that one is missing")


class Normalize(Section):
    """The tokenizer and the n-grams, fitted on train."""

    tokenizer: Annotated[Address, Field(min_length=1)] = knob(
        "fitted", "on train; minilm, or file or URL of a BERT's vocabulary or preset: for its weights"
    )
    tokenizer_sha256: Digest = knob("", "of that file, 64 hex digits")
    lowercase: bool = knob(True, "case makes no difference to the tokens")
    vocabulary: int = knob(8192, "tokens of byte-level BPE at most", ge=512, le=262_144)
    max_tokens: int = knob(128, "of a text; longer ones lose their middle", ge=8, le=4096)
    min_texts: int = knob(2, "training texts that have an n-gram; rarer ones are left out", ge=1)
    max_ngrams: int = knob(200_000, "n-grams at most, the most frequent", ge=100, le=1_000_000)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.tokenizer not in ("fitted", "minilm") and not self.tokenizer_sha256:
            raise ValueError(
                "tokenizer should be fitted or minilm, or a file with its tokenizer_sha256, 64 hex digits as "
                "`sha256sum` prints them"
            )
        return self


class Train(Section):
    """What comes before the labelled epochs; stands among the general knobs, where a part is a text."""

    pretrain_epochs: int = knob(
        0,
        "passes over texts without labels first: bert learns hidden tokens, gpt the next one; 0: none",
        ge=0,
        le=100_000,
    )


KNOBS: types.Knobs = {"fetch": Fetch, "clean": Clean, "augment": Augment, "normalize": Normalize, "train": Train}
