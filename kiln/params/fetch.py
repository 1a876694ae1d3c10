"""Knobs of the stage fetch."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from kiln.params.types import Address, Digest, Group, Parted, SourcePath, knob

# Python calls them encodings, but no file of text has them.
_NO_ENCODINGS = frozenset(["idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined"])


def _label_column(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    several = isinstance(value, list) and not 2 <= len({*map(str, names)}) == len(names)
    if several or not all(isinstance(name, str) and name for name in names):
        raise ValueError("should be the name of a column, or a list of different names, one for each class")
    return value


def _encoding(value: Any) -> Any:
    try:
        fits = value == "auto" or "a,\n".encode(value).decode(value) == "a,\n"
    except (LookupError, TypeError, ValueError):
        fits = False
    if not fits or value.replace("-", "_").lower() in _NO_ENCODINGS:
        raise ValueError("should be auto, or the name of an encoding such as cp1252")
    return value


Column = Annotated[str, Field(min_length=1)]


class Source(Group):
    """What kind of source it is, and how to read it."""

    USED_BY: ClassVar = {
        "url": "(?!digits).*",
        "sha256": "(?!digits).*",
        "deadline": "(?!digits).*",
        "manifest": "manifest",
        "label_column": "manifest|parquet|table",
        "split_column": "manifest|parquet|table",
        "group_column": "manifest|parquet|table",
        "encoding": "table",
    }
    name: Literal["digits", "images", "texts", "manifest", "table", "parquet", "cifar10", "cifar100"] = knob(
        "digits",
        "digits come with scikit-learn; images, texts: folders; manifest: a table of paths; table: of texts; parquet: "
        "of either",
    )
    url: Address = knob("", "http(s)://, s3://, gs://, az:// or ssh:// of a file to read in place of path; empty: path")
    sha256: Digest = knob("", "of what url gives, 64 hex digits; known for the official CIFAR archives")
    deadline: float = knob(3600, "seconds for the whole download", gt=0)
    manifest: Column = knob("manifest.csv", "name of the table inside path (.csv, .tsv, .jsonl, .parquet), or *.csv")
    label_column: Annotated[str | list[str], BeforeValidator(_label_column)] = knob(
        "label", "or one column for each class, [cat, dog, ...], with 1 where a sample is of it"
    )
    split_column: Column = knob("split", "need not be there; is_valid and is_test (true or false) are read as well")
    group_column: Column = knob("group", "need not be there; samples of a group, such as a patient, share a split")
    encoding: Annotated[str, BeforeValidator(_encoding)] = knob(
        "auto", "of a table of texts, such as cp1252 or gb18030; auto: UTF-8, UTF-16 by its mark, else found out"
    )


class Fetch(Parted):
    """Where the samples come from."""

    source: Source = Source()
    path: SourcePath = knob(
        "data/source",
        "folder, .zip or .tar[.gz|.xz|.bz2] of [<split>/]<class>/..., or a table; absolute if outside the project",
    )
    unlabelled: SourcePath = knob(
        "data/unlabelled",
        "folder, .zip or .tar of further texts without labels, or a .txt with one per line, for train.pretrain_epochs",
    )
    limit: int = knob(0, "samples per class and split, for a quick try; 0: all", ge=0)

    PARTS_OPTIONAL: ClassVar = True  # so that `-S fetch.source.name=manifest` is enough

    @property
    def parts_count(self) -> bool:
        """Only a table says where in a row each part stands."""
        return self.source.name in ("manifest", "parquet", "table")
