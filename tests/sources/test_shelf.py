import sqlite3

import pytest

from kiln.sources import shelf as module
from kiln.sources.shelf import Shelf


def test_keys_keep_their_order_and_their_first_value():
    shelf = Shelf()
    assert [shelf.add(key, value) for key, value in [("b", [1, None]), ("a", "x"), ("b", 2)]] == [True, True, False]
    assert list(shelf) == ["b", "a"] and len(shelf) == 2
    assert list(shelf.items(in_order=True)) == [("a", "x"), ("b", [1, None])]
    assert shelf.get("b") == [1, None] and shelf.get("c") is None
    assert "a" in shelf and "c" not in shelf


def test_a_shelf_may_be_read_while_it_is_read():
    shelf = Shelf()
    for number in range(3000):
        shelf.add(str(number), number)
    read = [(key, value, shelf.get(key), key in shelf) for key, value in shelf.items()]
    assert read == [(str(number), number, number, True) for number in range(3000)]


def test_the_file_is_closed_with_the_shelf(monkeypatch):
    opened, connect = [], sqlite3.connect
    monkeypatch.setattr(module.sqlite3, "connect", lambda *of, **how: opened.append(connect(*of, **how)) or opened[-1])
    shelf = Shelf()
    shelf.add("a")
    names = iter(shelf)
    del shelf
    assert list(names) == ["a"]  # who still reads holds it open
    del names
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")
