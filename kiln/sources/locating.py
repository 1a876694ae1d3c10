"""Which file of a container an entry of a table means."""

import posixpath
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from kiln.core.errors import UserError
from kiln.sources.names import is_hidden, split_words
from kiln.sources.rows import shown
from kiln.sources.shelf import Shelf

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_TOLD = 3


def spelled(name: str) -> str:
    """Give a path with / as it is written elsewhere with \\."""
    return name.replace("\\", "/")


def refuse_foreign(name: str, source: object, where: str) -> None:
    """Refuse an entry that cannot name a file of the source.

    Raises:
        UserError: it is an absolute path or an address; the sentence begins with ``where``.
    """
    windows = _WINDOWS.match(name)
    if windows or name.startswith("/"):
        kind = "an absolute path of Windows" if windows else "an absolute path"
        raise UserError(
            f"{where}: {shown(name)} is {kind}, so it lies outside of {source}: list paths relative to the table, such "
            "as images/1.png"
        )
    if _ADDRESS.match(name):
        raise UserError(f"{where}: {shown(name)} is an address: download the files and list their paths")


def at(folder: str, name: str, names: Shelf) -> str | None:
    """Find the file that a path names, relative to the table's folder or to one around it.

    Args:
        folder: of the table, "" at the top.
        name: as the table has it, with / or \\.
        names: of all files.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in name):  # Half of a character, which no name has.
        return None
    for path in dict.fromkeys((name, spelled(name))):
        for base in _around(folder):
            if (target := posixpath.normpath(posixpath.join(base, path))) in names:
                return target
    return None


def _around(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield ""


def leads_outside(folder: str, name: str) -> bool:
    """Tell whether a path leaves the container."""
    return posixpath.normpath(posixpath.join(folder, spelled(name))).startswith("../")


class Search:
    """Files by paths that lack a folder or the extension, or differ in case or Unicode form.

    Args:
        names: of all files.
        wanted: (folder of the table, path in it), all that will be asked for.
        extensions: those that a path may lack.
    """

    def __init__(self, names: Iterable[str], wanted: Iterable[tuple[str, str]], extensions: Collection[str]):
        self._extensions = extensions
        # Only what is asked for is kept, since a container may have millions of names.
        self._found: dict[str, list[str]] = {_key(name): [] for _, name in wanted}
        for name in names:
            if not is_hidden(name.split("/")):
                last = _folded(posixpath.basename(name))
                for key in {last, _stem(last, extensions)} & self._found.keys():
                    self._found[key].append(name)

    def fitting(self, folder: str, name: str, split: str | None = None) -> list[str]:
        """Give the files that fit best.

        A path that is right but for case, Unicode form and extension comes before
        one that lacks folders, too. Of several, those in the table's own split.

        Args:
            folder: of the table.
            name: as the table has it.
            split: that the table's name gives, if any.
        """
        path = _folded(posixpath.normpath(spelled(name)))
        whole = {_folded(posixpath.normpath(posixpath.join(base, spelled(name)))) for base in _around(folder)}
        candidates = {
            one: {_folded(one), _stem(_folded(one), self._extensions)} for one in self._found.get(_key(name), ())
        }
        fits = [one for one, forms in candidates.items() if forms & whole] or [
            one for one, forms in candidates.items() if any(form.endswith(f"/{path}") for form in forms)
        ]
        own = [one for one in fits if split and split_by_folders(one) == split]
        return own if len(own) == 1 else fits


def lookalikes(name: str, names: Iterable[str], extensions: Collection[str]) -> list[str]:
    """Give up to three files to show beside a path that none fits: those with another known extension, else any."""
    stem, like, other = _stem(_key(name), extensions), [], []
    for one in names:
        if not is_hidden(one.split("/")) and _extension(one) in extensions:
            alike = _stem(_folded(posixpath.basename(one)), extensions) == stem
            chosen = like if alike else other
            if len(chosen) < _TOLD:
                chosen.append(one)
    return like or other


def split_by_folders(name: str) -> str | None:
    """Read a split from the nearest folder above a file whose name has the words of one."""
    return _split_of_folder(posixpath.dirname(name))


@lru_cache(4096)
def _split_of_folder(folder: str) -> str | None:
    told = (split_words(step) for step in reversed(folder.split("/")))
    return next((next(iter(words)) for words in told if len(words) == 1), None)


def _key(name: str) -> str:
    return _folded(posixpath.basename(posixpath.normpath(spelled(name))))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _stem(name: str, extensions: Collection[str]) -> str:
    return posixpath.splitext(name)[0] if _extension(name) in extensions else name


def _extension(name: str) -> str:
    return posixpath.splitext(name)[1].lower()
