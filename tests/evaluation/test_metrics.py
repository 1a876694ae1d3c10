import pytest

from kiln.evaluation import metrics


@pytest.mark.parametrize(
    ("key", "better"),
    [
        ("test.accuracy", "higher"),
        ("train.log_loss", "lower"),
        ("test_calibrated.ece", "lower"),
        ("test_calibrated.temperature", None),
        ("robustness.noise.mild", "higher"),
        ("robustness.samples", None),
        ("clean.kept", None),
        ("gap.accuracy", None),
        ("model.megabytes", "lower"),
        ("model.epochs", None),
    ],
)
def test_which_way_is_better(key, better):
    assert metrics.direction(key) == better
