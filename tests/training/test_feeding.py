import numpy as np
import pytest
from makers.datasets import image_table, write_images
from makers.images import noise
from makers.pairs import write_pairs
from makers.texts import as_array, text_parts

from kiln.core import randomness
from kiln.core.errors import UserError
from kiln.store import dataset
from kiln.training import feeding

ROWS = 50
GROUP = 4


def made(folder, rows: int = ROWS, split: str = "train") -> dataset.Dataset:
    """Images of one value each, their number, in row groups of 4."""

    def tables():
        for start in range(0, rows, GROUP):
            numbers = np.arange(start, min(start + GROUP, rows))
            pixels = np.broadcast_to(numbers[:, None, None, None], (len(numbers), 8, 8, 1)).astype(np.uint8)
            yield split, image_table([str(n) for n in numbers], numbers % 3, pixels)

    return write_images(folder, tables(), "abc")


WHOLE = 1.0
STREAMED = 3 * 12 * 64 / 2**30  # windows of 12 images


@pytest.fixture(params=[WHOLE, STREAMED], ids=["whole", "streamed"])
def feed(request, tmp_path) -> feeding.Feed:
    return feeding.Feed([(made(tmp_path), "train")], request.param)


def numbers(batch: feeding.Batch) -> list[int]:
    return batch.parts["image"][:, 0, 0, 0].tolist()


def test_small_sets_are_held_and_large_ones_streamed(tmp_path):
    data = made(tmp_path)
    assert feeding.Feed([(data, "train")], ROWS * 64 / 2**30).whole is not None
    assert feeding.Feed([(data, "train")], (ROWS * 64 - 1) / 2**30).whole is None


@pytest.mark.parametrize(
    ("rows", "most", "sizes"),
    [(9, 3, [3, 3, 3]), (10, 3, [3, 3, 2, 2]), (9, 8, [5, 4]), (5, 8, [5]), (3, 1, [1, 1, 1]), (1, 64, [1])],
)
def test_batches_are_few_and_equal(rows, most, sizes):
    assert feeding.equal_sizes(rows, most) == sizes


@pytest.mark.parametrize("most", [1, 5, 7, 12, 13, 49, 50, 64])
def test_an_epoch_is_every_image_once_in_equal_batches(feed, most):
    for epoch in range(2):
        batches = list(feed.shuffled(0, epoch, most))
        assert [len(batch) for batch in batches] == feeding.equal_sizes(ROWS, most)
        order = [number for batch in batches for number in numbers(batch)]
        assert sorted(order) == list(range(ROWS))
        for batch in batches:
            assert batch.labels.tolist() == [number % 3 for number in numbers(batch)]
            assert (batch.keys == randomness.item_keys([str(number) for number in numbers(batch)])).all()
            pixels = batch.parts["image"]
            assert (pixels == pixels[:, :1, :1]).all()


def test_the_order_depends_on_seed_and_epoch_alone(feed):
    def order(seed, epoch, most=5):
        return [number for batch in feed.shuffled(seed, epoch, most) for number in numbers(batch)]

    assert order(0, 1) == order(0, 1) == order(0, 1, most=7)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_a_window_mixes_row_groups(tmp_path):
    feed = feeding.Feed([(made(tmp_path), "train")], STREAMED)
    first = [number for batch in list(feed.shuffled(0, 0, 6))[:2] for number in numbers(batch)]
    groups = {number // GROUP for number in first}
    assert len(groups) == 3  # a window of three groups
    # One after the other, they would change twice.
    assert np.count_nonzero(np.diff([number // GROUP for number in first])) > 2


def test_in_order_counts_and_first(feed):
    for size in (7, 64):
        batches = list(feed.in_order(size))
        assert [number for batch in batches for number in numbers(batch)] == list(range(ROWS))
        assert [len(batch) for batch in batches] == [size] * (ROWS // size) + [ROWS % size] * (ROWS % size > 0)
    assert feed.counts().tolist() == [17, 17, 16]
    assert feed.first(9)["image"][:, 0, 0, 0].tolist() == list(range(9))
    assert len(feed.first(1000)["image"]) == (12 if feed.whole is None else ROWS)


def test_several_splits_are_one_set(tmp_path):
    splits = [(made(tmp_path / "a", 10), "train"), (made(tmp_path / "b", 6), "train")]
    for memory in (WHOLE, STREAMED):
        feed = feeding.Feed(splits, memory)
        assert feed.rows == 16
        everything = [*range(10), *range(6)]
        assert [number for batch in feed.in_order(5) for number in numbers(batch)] == everything
        shuffled = [number for batch in feed.shuffled(0, 0, 5) for number in numbers(batch)]
        assert sorted(shuffled) == sorted(everything)


def test_splits_that_do_not_belong_together_are_refused(tmp_path):
    one, other = made(tmp_path / "one"), made(tmp_path / "other")
    other.manifest["classes"] = list("abd")
    with pytest.raises(UserError, match=r"other and .*one differ in classes or conversion: run `dvc repro`"):
        feeding.Feed([(one, "train"), (other, "train")], WHOLE)


def test_an_empty_split_is_no_matter(tmp_path):
    data, empty = made(tmp_path / "a", 10), made(tmp_path / "b", 4, "test")
    assert feeding.Feed([(data, "train"), (empty, "train")], WHOLE).rows == 10


def test_reading_holds_few_windows(tmp_path, monkeypatch):
    feed = feeding.Feed([(made(tmp_path), "train")], STREAMED)
    read, taken = [], []
    groups = dataset.RowGroup.samples
    monkeypatch.setattr(dataset.RowGroup, "samples", lambda group: read.append(group) or groups(group))
    for batch in feed.shuffled(0, 0, 6):
        taken.append(len(batch))
        ahead = len(read) * GROUP - sum(taken)
        assert ahead <= 3 * feed.window + GROUP
    assert sum(taken) == ROWS


def test_noise_survives(tmp_path):
    pixels = np.stack([noise(i) for i in range(8)])
    table = image_table([str(i) for i in range(8)], np.arange(8), pixels)
    feed = feeding.Feed([(write_images(tmp_path, [("train", table)], "abcdefgh"), "train")], WHOLE)
    assert (next(feed.in_order(8)).parts["image"] == pixels).all()


def paired(folder, right=(4, 6, 3)) -> tuple[dataset.Dataset, dict[str, np.ndarray]]:
    """Samples of two parts of noise, in row groups of 4."""
    return write_pairs(folder, ROWS, GROUP, right)


@pytest.mark.parametrize("memory", [WHOLE, 3 * 12 * 136 / 2**30])
def test_the_parts_of_a_sample_stay_together(tmp_path, memory):
    data, values = paired(tmp_path)
    feed = feeding.Feed([(data, "train")], memory)
    assert (feed.whole is None) == (memory != WHOLE) and feed.window in (12, int(WHOLE * 2**30 / 3 / 136))
    row_of = {randomness.item_keys([f"train{row}"])[0]: row for row in range(ROWS)}
    for batches in (feed.shuffled(0, 0, 7), feed.in_order(7)):
        seen = []
        for batch in batches:
            rows = [row_of[key] for key in batch.keys]
            assert batch.labels.tolist() == [row % 3 for row in rows]
            assert batch.parts.keys() == values.keys()
            assert all((batch.parts[name] == values[name][rows]).all() for name in values)
            seen += rows
        assert sorted(seen) == list(range(ROWS))
    assert {name: len(first) for name, first in feed.first(5).items()} == {"left": 5, "right": 5}


def test_splits_of_other_parts_are_refused(tmp_path):
    one, other, image = paired(tmp_path / "one")[0], paired(tmp_path / "other", (6, 4, 3))[0], made(tmp_path / "image")
    for stranger in (other, image):
        with pytest.raises(UserError, match="differ in classes or conversion"):
            feeding.Feed([(one, "train"), (stranger, "train")], WHOLE)


LENGTHS = np.random.default_rng(5).permutation(1000) + 1


def lettered(folder) -> dataset.Dataset:
    """Texts of 1 to 1,000 letters, each length once, in row groups of 100."""
    parts = text_parts()

    def tables():
        for start in range(0, len(LENGTHS), 100):
            texts = as_array(["x" * length for length in LENGTHS[start : start + 100]])
            ids = [str(number) for number in range(start, start + 100)]
            yield "train", dataset.clean_table(parts, ids, np.arange(100) % 2, {"text": texts})

    about = {name: part.to_json() for name, part in parts.items()}
    dataset.write(folder, tables(), "clean", classes=["even", "odd"], parts=about)
    return dataset.open_dataset(folder, "clean")


def lengths_of(batch: feeding.Batch) -> list[int]:
    return [len(text) for text in batch.parts["text"]]


@pytest.fixture(params=[1.0, 0.00008], ids=["whole", "streamed"])
def texts(request, tmp_path) -> feeding.Feed:
    feed = feeding.Feed([(lettered(tmp_path), "train")], request.param)
    assert (feed.whole is None) == (request.param < 1)
    return feed


def test_texts_of_similar_length_come_together_each_once(texts):
    for epoch in range(2):
        batches = [lengths_of(batch) for batch in texts.shuffled(0, epoch, 7)]
        assert [len(batch) for batch in batches if len(batch) not in (6, 7)] == []
        assert len(batches) == len(feeding.equal_sizes(1000, 7))
        assert sorted(length for batch in batches for length in batch) == list(range(1, 1001))
        # Padding would triple the work of random batches of 7, whose longest is 7/8 of 1,000 on average.
        assert sum(len(batch) * max(batch) for batch in batches) < 1.15 * 500 * 1000
        # Batches of short texts do not all come before those of long ones.
        assert 0.4 < np.mean(np.diff([max(batch) for batch in batches]) > 0) < 0.6


def test_the_order_of_texts_depends_on_seed_and_epoch_alone(texts):
    def order(seed, epoch):
        return [length for batch in texts.shuffled(seed, epoch, 7) for length in lengths_of(batch)]

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(*which)) for which in ((0, 1), (0, 2), (1, 1))}) == 3


def test_labels_and_keys_go_with_their_texts(texts):
    for batch in texts.shuffled(0, 0, 7):
        numbers = [int(np.flatnonzero(length == LENGTHS)[0]) for length in lengths_of(batch)]
        assert batch.labels.tolist() == [number % 100 % 2 for number in numbers]
        assert (batch.keys == randomness.item_keys([str(number) for number in numbers])).all()
