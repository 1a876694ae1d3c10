"""What the names of files, folders, splits and classes say."""

import posixpath
import re
import unicodedata
from collections.abc import Iterable

from kiln.core.errors import UserError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
}
# Words for samples without labels.
UNLABELLED = frozenset(
    ["inference", "pred", "preds", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "unsup"]
)
# Those that can hardly be a class.
_CERTAINLY_UNLABELLED = frozenset(["unlabeled", "unlabelled", "unsup"])
_FILLERS = frozenset(
    ["data", "files", "folder", "image", "images", "img", "imgs", "photos", "pictures", "set", "split"]
)
_FILLER_END = re.compile("(?<=.)(datasets?|data|sets?|images?|imgs?|folder)$")
# What systems lay beside files: folders of macOS, Windows, Synology, QNAP, Linux and Python.
_SYSTEM = frozenset(["#recycle", "$recycle.bin", "@eadir", "@recycle", "__macosx", "__pycache__", "desktop.ini"])
_SYSTEM |= {"ehthumbs.db", "lost+found", "system volume information", "thumbs.db"}
# Compatible with a plain letter, yet not to be taken for it: a square is no 2.
_TELLING = ("<super>", "<sub>", "<fraction>", "<circle>", "<square>")
# Within scripts beyond ASCII, and in emoji, joiners change what is seen.
_JOINERS = re.compile(r"(?<![^\0-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?![^\0-\x7f])")


def tidy(name: str) -> str:
    """Give a label, or the name of a folder, as it is read: NFC, no zero-width characters, no blanks at the ends."""
    seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf" or letter in "\u200c\u200d")
    return unicodedata.normalize("NFC", _JOINERS.sub("", seen)).strip()


def folded(name: str) -> str:
    """Give the form in which names are equal that look alike, or that some file systems take for the same.

    It has no case, no invisible characters, one kind of blank, and one Unicode
    form for composed and full-width letters, ligatures and the like.
    """
    shown = "".join(
        letter if unicodedata.decomposition(letter).startswith(_TELLING) else unicodedata.normalize("NFKC", letter)
        for letter in name
        if unicodedata.category(letter) != "Cf" and not "\ufe00" <= letter <= "\ufe0f"
    )
    return unicodedata.normalize("NFC", " ".join(shown.split())).casefold()


def visible(name: str) -> str:
    """Quote a name, with a code for each letter that cannot be seen or may be taken for another."""
    return f"'{''.join(map(_visible, name))}'"


def _visible(letter: str) -> str:
    hidden = unicodedata.combining(letter) or "\ufe00" <= letter <= "\ufe0f"
    hidden = hidden or unicodedata.normalize("NFKC", letter) != letter
    return (ascii if hidden else repr)(letter)[1:-1]


def is_hidden(steps: Iterable[str]) -> bool:
    """Tell whether a file is hidden or the system's own, by the steps of its path."""
    return any(step.startswith(".") or step.casefold() in _SYSTEM for step in steps)


def split_words(name: str) -> set[str]:
    """Find the splits that the words of a name give.

    Words end at whatever is no letter, and where camelCase begins one: ``mnist_test-00000``,
    ``mnistTest2``, ``Hold-out`` and ``testset`` give test, ``latest`` gives none.
    """
    return {SPLIT_NAMES[word] for word in words(name) if word in SPLIT_NAMES}


def is_plain(name: str) -> bool:
    """Tell whether a name has no words but those of splits and such as ``set`` and ``data``."""
    return all(word in SPLIT_NAMES or word in UNLABELLED or word in _FILLERS for word in words(name))


def is_unlabelled(name: str) -> bool:
    """Tell whether a name has a word for samples without labels, such as ``pred``."""
    return not UNLABELLED.isdisjoint(words(name))


def is_certainly_unlabelled(name: str) -> bool:
    """Tell whether a name says that samples have no labels, such as ``unsup``, and nothing else."""
    found = words(name)
    return bool(found) and _CERTAINLY_UNLABELLED.issuperset(found)


def words(name: str) -> list[str]:
    """Split a name as ``split_words`` does, without what such as ``set`` and ``data`` add to a word."""
    letters = " ".join(re.findall(r"[^\W\d_]+", name))
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", letters).lower()
    return [_FILLER_END.sub("", word) or word for word in parts.replace("hold out", "holdout").split()]


def split_of(name: str, where: str | None = None) -> str | None:
    """Read a split from the words of a file's name, else of the nearest folder's that has one.

    Args:
        name: the path below the source, such as ``data/test-00000-of-00001.parquet``.
        where: for the error; None: a name with the words of several splits is passed over.

    Raises:
        UserError: the name has the words of several splits.
    """
    for step in reversed(posixpath.splitext(name)[0].split("/")):
        found = sorted(split_words(step))
        if len(found) > 1 and where:
            raise UserError(
                f"{where}: the name {step} names several splits, {' and '.join(found)}: leave one of them in it, or "
                "give the table a split column"
            )
        if len(found) == 1:
            return found[0]
    return None
