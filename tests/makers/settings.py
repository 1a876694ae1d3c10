"""Settings of the default params, with changes."""

from kiln import params
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
