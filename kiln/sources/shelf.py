"""A mapping that lies on disk, for names by the million."""

import json
import sqlite3
import weakref
from collections.abc import Iterator
from typing import Any


class Shelf:
    """Keys in the order in which they came, each with a value that JSON can hold; memory stays flat.

    The file is temporary and private to the process: it is gone with it.
    """

    def __init__(self):
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._rows.close)  # not by __del__, which comes too late within a cycle
        self._rows.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        self._rows.execute("CREATE TABLE rows (place INTEGER PRIMARY KEY, key TEXT UNIQUE, value TEXT)")

    def add(self, key: str, value: Any = None) -> bool:
        """Add a key that is not there yet; return whether it was new."""
        done = self._rows.execute("INSERT OR IGNORE INTO rows (key, value) VALUES (?, ?)", (key, json.dumps(value)))
        return done.rowcount == 1

    def get(self, key: str) -> Any:
        """Give the value of a key, None where it is not there."""
        row = self._rows.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def items(self, in_order: bool = False) -> Iterator[tuple[str, Any]]:
        """Yield keys and values as they came, or in the order of the keys."""
        order = "key" if in_order else "place"
        for key, value in self._rows.execute(f"SELECT key, value FROM rows ORDER BY {order}"):  # noqa: S608
            yield key, json.loads(value)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.items())

    def __contains__(self, key: str) -> bool:
        return self._rows.execute("SELECT 1 FROM rows WHERE key = ?", (key,)).fetchone() is not None

    def __len__(self) -> int:
        return self._rows.execute("SELECT count(*) FROM rows").fetchone()[0]
