"""What every section's model is made of: knobs with their comments, groups with a name, and the shared types."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator

_SECRET = re.compile(r"(^|[-_])(sig|signature|token|(api)?key|secret|pass(word|wd)?|pwd|auth|credential)s?$", re.I)


def knob(default: Any, comment: str, **limits) -> Any:
    """Declare one key of params.yaml, in the one place that says all about it.

    Args:
        default: what the key is where neither a recipe nor a user says otherwise.
        comment: unit and meaning, for params.yaml; the range is written before it, from type and limits.
        limits: gt, ge, lt, le, min_length, max_length, as pydantic takes them.
    """
    return Field(default, description=comment, **limits)


class Section(BaseModel):
    """Keys of params.yaml that stand together: checked strictly, and never changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Group(Section):
    """A section whose ``name`` decides which of its other knobs count.

    A file may leave out the knobs of the chosen name, which then have their
    defaults, so that `-S train.optimizer.name=sgd` is enough. Knobs of other
    names may stay: they are checked, but have no effect, here not even on equality.
    """

    USED_BY: ClassVar[Mapping[str, str]] = {}  # knob -> pattern of the names that it belongs to; not listed: all
    name: str

    @classmethod
    def knobs_of(cls, name: str) -> list[str]:
        """List the knobs that count for a name, ``name`` first."""
        return [knob for knob in cls.model_fields if re.fullmatch(cls.USED_BY.get(knob, ".*"), name)]

    @model_validator(mode="after")
    def _reset_unused(self) -> Self:
        for key in set(type(self).model_fields) - set(self.knobs_of(self.name)):
            self.__dict__[key] = type(self).model_fields[key].default  # frozen for all but its own validation
        return self

    @model_serializer(mode="wrap")
    def _dump_used(self, dump) -> dict:
        used = self.knobs_of(self.name)
        return {key: value for key, value in dump(self).items() if key in used}


class Parted(Section):
    """A section with general knobs, and below the name of each part of a sample the knobs of its modality."""

    PARTS_OPTIONAL: ClassVar[bool] = False  # whether a file may leave out the parts' knobs, which then have defaults

    @property
    def parts_count(self) -> bool:
        """Whether the parts' knobs have an effect."""
        return True

    @property
    def parts(self) -> dict[str, Section]:
        """Part name -> its knobs."""
        fields = type(self).model_fields
        return {field.alias: getattr(self, name) for name, field in fields.items() if field.alias}


def _source_path(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("should be the path of a folder or an archive")
    if value.startswith("~") or ".." in Path(value).parts:
        raise ValueError("should be absolute, or lie inside the project, without ~ and ..")
    return value


def _digest(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"([0-9a-fA-F]{64})?", value):
        raise ValueError("should be 64 hexadecimal digits, or empty")
    return value.lower()


def _address(value: Any) -> Any:
    """Refuse secrets in a URL: params.yaml is in git, and DVC copies it to dvc.lock and every experiment."""
    if not isinstance(value, str) or "://" not in value:
        return value
    try:
        parts = urlsplit(value)
        named = next((name for name, _ in parse_qsl(parts.query) if _SECRET.search(name)), None)
    except ValueError:
        raise ValueError("should be an address, but cannot be read as one") from None
    if parts.password is not None or (parts.username and parts.scheme in ("http", "https")):
        raise ValueError(
            "holds a user or password, which git and dvc.lock would keep: put them into ~/.netrc, or for an object "
            "store into its own configuration"
        )
    if named:
        raise ValueError(
            f"holds a secret ({named[:40]!a}), which git and dvc.lock would keep: download the file yourself and give "
            "its path"
        )
    return value


Action = Literal["drop", "flag", "keep"]
Address = Annotated[str, BeforeValidator(_address)]
Digest = Annotated[str, BeforeValidator(_digest)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
SourcePath = Annotated[str, BeforeValidator(_source_path)]
Knobs = Mapping[str, type[Section]]  # section -> the knobs that a modality has in it
