"""Settings of the default params, with changes."""

from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from kiln import params
from kiln.params import schema
from kiln.params.renames import RENAMED
from makers.projects import ROOT

BASE = params.load(ROOT / "params.yaml").train


def settings(**changes) -> params.Train:
    """Change the train section, its groups' knobs by the short names that they had before there were groups."""
    content = BASE.model_dump()
    for key, value in changes.items():
        *groups, name = RENAMED.get(f"train.{key}", f"train.{key}").split(".")[1:]
        place = content[groups[0]] if groups else content
        place[name] = value
    return params.Train(**content)


def change(section, **changes):
    """Copy a section of params with other values, of keys of its own, of its group ``source`` or its part ``image``."""
    update = {}
    for key, value in changes.items():
        for name in ("source", "part_image"):
            inner = update.get(name) or getattr(section, name, None)
            if key in getattr(type(inner), "model_fields", {}):
                update[name] = inner.model_copy(update={key: value})
                break
        else:
            assert key in type(section).model_fields, key
            update[key] = value
    return section.model_copy(update=update)


OFF = {"rotate": 0, "scale": 0, "crop": 0, "flip": 0, "brightness": 0, "contrast": 0, "cutout": 0}


def clean_settings(*inputs: str, **changes) -> params.Clean:
    """The clean section's defaults for parts of modality image, with changes: ``image__min_side=4`` of one part."""
    inputs = inputs or ("image",)
    content = {name: {} for name in inputs}
    for key, value in changes.items():
        part, _, name = key.rpartition("__")
        (content[part] if part else content)[name] = value
    return schema.model_for(dict.fromkeys(inputs, "image")).model_fields["clean"].annotation(**content)


def configure(folder: Path, inputs: Sequence[str] = ("image",), **changes) -> None:
    """Write the default params.yaml to a folder, of parts of modality image, with changes: ``clean__image__size=8``."""
    yaml = YAML()
    content = yaml.load((ROOT / "params.yaml").read_text())
    content["inputs"] = dict.fromkeys(inputs, "image")
    for name, section in content.items():
        if name != "inputs" and isinstance(section, dict) and "image" in section:
            knobs = section.pop("image")
            section.update({part: dict(knobs) for part in inputs})
    for key, value in changes.items():
        *sections, name = key.split("__")
        place = content
        for section in sections:
            place = place[section]
        place[name] = value
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(content, file)
