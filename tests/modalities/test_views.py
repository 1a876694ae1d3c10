import json

import numpy as np
import pytest
from makers.datasets import image_plan
from makers.images import noise
from makers.settings import OFF

from kiln.core import randomness
from kiln.core.errors import UserError
from kiln.modalities import views
from kiln.params.image import Augment

ALL = {"rotate": 10, "scale": 0.1, "crop": 0.1, "flip": 0.5, "brightness": 0.1, "contrast": 0.2, "cutout": 0.3}
KEYS = randomness.key(0, randomness.item_keys([str(i) for i in range(16)]))


def two_parts(left: dict, right: dict, mode: str = "online") -> views.Plan:
    settings = {name: Augment(**{**OFF, **strengths}) for name, strengths in (("left", left), ("right", right))}
    return views.Plan(mode, 1, dict.fromkeys(settings, "image"), settings)


@pytest.mark.parametrize("plan", [image_plan(**ALL), image_plan("offline", 7), two_parts(ALL, {"flip": 1})])
def test_a_plan_survives_the_file(tmp_path, plan):
    views.save(plan, tmp_path)
    assert views.load(tmp_path) == plan


def test_a_plan_that_is_missing_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"policy\.json is missing"):
        views.load(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        *[{key: None} for key in ("mode", "views", "inputs", "settings")],
        {"mode": "sometimes"},
        {"mode": True},
        *[{"views": value} for value in (0, -1, 1.0, True, "1")],
        *[
            {"inputs": value}
            for value in ({}, ["image"], "image", {"image": "smell"}, {"image": ["image"]}, {"other": "image"})
        ],
        *[{"settings": value} for value in ({}, [], {"image": None}, {"image": {"flop": 1}}, {"image": {"flip": 2}})],
        *[{"settings": {"image": {**OFF, "flip": value}}} for value in ("1", True, None, [0])],
        {"settings": {"other": OFF}},
        {"settings": {"image": {"flip": 0.5}}},
        {"settings": {"image": {}}},
    ],
)
def test_a_damaged_plan_is_refused(tmp_path, changes):
    views.save(image_plan(**ALL), tmp_path)
    path = tmp_path / "policy.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"policy\.json is damaged"):
        views.load(tmp_path)
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in changes}))
    with pytest.raises(UserError, match=r"policy\.json is damaged"):
        views.load(tmp_path)


def test_off_is_neither_online_nor_offline():
    assert not image_plan("online").online and not image_plan("offline").offline
    assert image_plan("offline", flip=0.1).offline and image_plan("online", flip=0.1).online
    assert two_parts({}, {"flip": 0.1}).online and not two_parts({}, {}).online


def test_parts_of_a_sample_draw_the_same_numbers_and_keep_their_own_strengths():
    pixels = np.stack([noise(row, 32, 32, 3) for row in range(16)])
    both = {"left": pixels, "right": pixels}
    made = two_parts(ALL, ALL).apply(both, KEYS, 3)
    assert (made["left"] == made["right"]).all() and (made["left"] != pixels).any()
    assert (made["left"] == image_plan(**ALL).apply({"image": pixels}, KEYS, 3)["image"]).all()
    made = two_parts({}, {"flip": 1}).apply(both, KEYS, 3)
    assert (made["left"] == pixels).all() and (made["right"] == pixels[:, :, ::-1]).all()
