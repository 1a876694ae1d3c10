import pytest
from makers.datasets import image_parts
from makers.projects import ROOT, Project
from makers.settings import settings

from kiln.deployment import costs
from kiln.networks import artifact, registry
from kiln.networks.costs import multiply_adds

PLAIN = {"image": {"method": "none", "offset": [0.0], "scale": [1.0]}}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder of a tiny model with fresh weights."""
    folder, parts = tmp_path_factory.mktemp("model"), image_parts()
    how = registry.settle(settings(model="mlp"), parts, PLAIN)
    model = registry.build(how, parts, 3, PLAIN)
    artifact.save(folder, artifact.Classifier(model, list("abc"), parts), how, PLAIN)
    return folder


@pytest.mark.full
def test_a_model_is_measured_by_one_thread_and_by_all_in_turn(published, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(costs, "STARTS", 1)
    monkeypatch.setattr(costs.parallel, "cores", lambda: 2)
    about, found = costs.measure(published, rounds=2)
    model = artifact.load(published).model
    assert (about["parameters"], about["multiply_adds"]) == (model.count_params(), multiply_adds(model))
    assert about["bytes"] == sum(path.stat().st_size for path in published.iterdir())
    assert list(found) == [1, 2]
    for measured in found.values():
        assert len(measured.starts) == 1 and measured.peak > 10**7
        assert {size: len(seconds) for size, seconds in measured.batches.items()} == {1: 2, 32: 2, 256: 2}
        assert min(map(min, [measured.starts, *measured.batches.values()])) > 0


def test_the_table_shows_medians_and_spread():
    about = {"parameters": 1234, "multiply_adds": 5678, "bytes": 2_500_000}
    found = {
        1: costs.Costs([3.0, 1.0, 2.0], {1: [0.002, 0.001, 0.004], 32: [0.032, 0.016, 0.064]}, 300_000_000),
        4: costs.Costs([1.0, 1.0, 1.0], {1: [0.001] * 3, 32: [0.008] * 3}, 400_000_000),
    }
    assert costs.lay_out(about, found).splitlines() == [
        "1,234 parameters, 5,678 multiply-adds per sample, 2.50 MB on disk",
        "",
        "                              1 thread              4 threads",
        "start to first prediction, s  2.00 (1.00 to 3.00)   1.00 (1.00 to 1.00)",
        "peak memory, MB               300                   400",
        "batch 1, ms per sample        2.00 (1.00 to 4.00)   1.00 (1.00 to 1.00)",
        "batch 32, samples per second  1,000 (500 to 2,000)  4,000 (4,000 to 4,000)",
    ]


def test_a_model_that_is_missing_is_one_sentence(tmp_path):
    done = Project.at(ROOT).kiln("benchmark", "--model", str(tmp_path), check=False)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == f"benchmark: {tmp_path}/model.json is missing: run `dvc repro` to make it\n"
