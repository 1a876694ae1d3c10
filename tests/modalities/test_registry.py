import inspect
import subprocess
import sys

import pytest
from makers.projects import ROOT
from makers.samples import parts_of

from kiln.modalities import base, registry, selftaught
from kiln.params.modalities import MODALITIES


def members() -> dict[str, object]:
    """What the protocol asks for: name -> function, or None for an attribute."""
    found = {}
    for protocol in reversed(base.Modality.__mro__):
        if protocol.__module__ == base.__name__:
            found |= dict.fromkeys(protocol.__annotations__)
            found |= {name: value for name, value in vars(protocol).items() if inspect.isfunction(value)}
    return {name: value for name, value in found.items() if not name.startswith("_")}


def test_the_protocol_is_read_whole():
    found = members()
    assert {"name", "noun", "extensions", "facts", "checks", "slices", "corruptions", "notes_reason"} <= set(found)
    assert {"reads", "decode", "storage", "find_copies", "augment", "layer", "explain", "sheet"} <= set(found)
    assert len(found) >= 30


@pytest.mark.parametrize("name", registry.known())
def test_every_modality_has_all_that_the_protocol_asks_for(name):
    modality = registry.get(name)
    for member, asked in members().items():
        given = getattr(modality, member)
        if asked is None:
            assert not callable(given), member
            continue
        names = [one.name for one in inspect.signature(given).parameters.values()]
        assert names == list(inspect.signature(asked).parameters)[1:], member
        assert inspect.getdoc(vars(type(modality)).get(member) or given), member
    assert modality.name == name and modality is registry.get(name)
    public = {member for member in dir(modality) if not member.startswith("_")}
    beyond = {name for name in vars(selftaught.SelfTaught) if not name.startswith("_")}
    assert public - set(members()) in (set(), beyond)  # nothing that no protocol knows, and none of them in part


@pytest.mark.parametrize("name", registry.known())
def test_every_check_has_a_measure_a_threshold_and_an_action(name):
    modality, knobs = registry.get(name), MODALITIES[name]["clean"].model_fields
    for reason, check in modality.checks.items():
        assert check.side in ("below", "above")
        assert {reason, check.threshold} <= set(knobs)
    assert modality.notes_reason in knobs
    assert all(len(corruption.amounts) == len(base.STRENGTHS) for corruption in modality.corruptions.values())


def test_modalities_and_their_knobs_have_the_same_names():
    assert registry.known() == list(MODALITIES)
    with pytest.raises(KeyError):
        registry.get("smell")


def test_parts_survive_the_manifest():
    parts = parts_of("right", "left", shape=(4, 6, 3))
    listed = {name: part.to_json() for name, part in parts.items()}
    assert registry.read_parts(listed) == parts and list(registry.read_parts(listed)) == ["right", "left"]


OF_TEXTS = ("ftfy", "py3langid", "rensa", "tokenizers", "kiln.modalities.text.modality")
LOAD_IMAGES = f"""
import sys
from stages import fetch, clean, augment, normalize, report
from kiln.modalities import registry
registry.get("image")
loaded = [name for name in {OF_TEXTS} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""


def test_images_load_nothing_that_only_texts_need():
    done = subprocess.run([sys.executable, "-c", LOAD_IMAGES], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
