from types import SimpleNamespace

import pytest
from makers.datasets import image_parts
from makers.networks import classifier, smallest
from makers.settings import settings

from kiln.core.errors import UserError
from kiln.training import checks


@pytest.mark.parametrize("how", [{"name": "article_cnn"}, {"name": "fast_cnn", "normalization": "none"}])
def test_statistics_of_a_model_that_has_none_are_refused(how):
    chosen = settings(model=how["name"], precise_norm=True)
    with pytest.raises(UserError, match=rf"precise_norm is true, but {how['name']} as it is set has no batch normal"):
        checks.check_norm(chosen, classifier(**how))
    checks.check_norm(chosen, classifier("fast_cnn", width=0.25))


@pytest.mark.parametrize("knob", ["mixup", "cutmix"])
def test_samples_that_cannot_be_mixed_are_not(knob):
    text = SimpleNamespace(modality=SimpleNamespace(noun="text", can_mix=False))
    said = f"params.yaml: train.{knob} is 0.2, but a text cannot be mixed with another: set it to 0"
    with pytest.raises(UserError, match=f"^{said}$"):
        checks.check_mixing(settings(**{knob: 0.2}), {**image_parts(), "title": text})
    checks.check_mixing(settings(**{knob: 0.2}), image_parts())
    checks.check_mixing(settings(), {"title": text})


def test_a_weight_decay_that_leaves_kernels_alone_is_reported():
    made = classifier("wide_resnet", **smallest("wide_resnet"))
    assert checks.list_warnings(settings(optimizer="muon", weight_decay=0.1), made, "float32") == [
        "train.optimizer.weight_decay does not apply to 7 kernels: muon keeps their norm fixed, because normalisation "
        "follows them"
    ]
    assert checks.list_warnings(settings(optimizer="muon"), made, "float32") == []
    assert checks.list_warnings(settings(optimizer="adamw", weight_decay=0.1), made, "float32") == []
    assert checks.list_warnings(settings(optimizer="muon", weight_decay=0.1), classifier("mlp"), "float32") == []
