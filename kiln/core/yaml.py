"""YAML 1.2, read and written as DVC does: ``1e-4`` and ``1e-05`` are floats, ``no`` is a text."""

import functools
import math
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError


class Invalid(ValueError):
    """A text is not YAML that can be read; ``line`` is where, None where that is unknown."""

    def __init__(self, problem: str, line: int | None = None):
        super().__init__(problem)
        self.line = line


class _Composer(Composer):
    """Accepts few aliases, since each may stand for as much as all before it."""

    def __init__(self, max_aliases: float, loader: Any):
        super().__init__(loader)
        self._max_aliases, self._aliases = max_aliases, 0

    def return_alias(self, node):
        self._aliases += 1
        if self._aliases > self._max_aliases:
            raise YAMLError(f"it has more than {self._max_aliases} aliases (*name)")
        return super().return_alias(node)


def load(text: str | bytes, max_depth: int | None = None, max_aliases: float = math.inf) -> Any:
    """Read a document as plain values.

    Args:
        text: one document; as bytes, in UTF-8.
        max_depth: levels, those of nested collections and one for what they hold; None for any.
        max_aliases: how many ``*name`` it may have.

    Raises:
        Invalid: says what is wrong, without a value.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth, yaml.Composer = max_depth, functools.partial(_Composer, max_aliases)
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        # Of a key that stands twice it quotes the values, and an address may hold a password.
        problem, mark = str(error.problem).partition(" with value")[0], error.problem_mark
        raise Invalid(problem, mark.line + 1 if mark else None) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise Invalid(" ".join(str(error).split())) from None
    # Dates that are none, numbers too long, tags over what they cannot hold: it raises what it pleases.
    except Exception as error:
        raise Invalid(f"a value cannot be built ({type(error).__name__})") from None


def load_commented(text: str) -> CommentedMap:
    """Read a mapping that keeps comments, order and style for ``dump``; empty where the text holds none."""
    return YAML().load(text) or CommentedMap()


def dump(content: Any) -> str:
    """Write a document."""
    text = StringIO()
    YAML().dump(content, text)
    return text.getvalue()
