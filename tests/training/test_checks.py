import pytest
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


def test_a_weight_decay_that_leaves_kernels_alone_is_reported():
    made = classifier("wide_resnet", **smallest("wide_resnet"))
    assert checks.list_warnings(settings(optimizer="muon", weight_decay=0.1), made, "float32") == [
        "train.optimizer.weight_decay does not apply to 7 kernels: muon keeps their norm fixed, because normalisation "
        "follows them"
    ]
    assert checks.list_warnings(settings(optimizer="muon"), made, "float32") == []
    assert checks.list_warnings(settings(optimizer="adamw", weight_decay=0.1), made, "float32") == []
    assert checks.list_warnings(settings(optimizer="muon", weight_decay=0.1), classifier("mlp"), "float32") == []
