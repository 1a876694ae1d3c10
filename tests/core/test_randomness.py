import numpy as np

from kiln.core import randomness


def test_keys_are_the_same_everywhere():
    # Known answers: they must not change with versions, machines or processes.
    assert randomness.item_keys(["a", "b/1.png"]).tolist() == [13950350942979735504, 16988777977924541416]
    assert int(randomness.key(0, "augment", 1)) == 13498930450346348457
    np.testing.assert_allclose(
        randomness.uniform(np.array([7], np.uint64), 3), [[0.389829748391, 0.01678829452, 0.900760680607]], atol=1e-9
    )


def test_a_key_depends_on_every_part_and_their_order():
    base = int(randomness.key(1, "clean", 2))
    others = [(2, "clean", 2), (1, "augment", 2), (1, "clean", 3), (2, "clean", 1), (1, "clean")]
    assert len({base, *(int(randomness.key(*parts)) for parts in others)}) == 6


def test_draws_are_uniform_and_independent_of_company():
    keys = randomness.key(3, randomness.item_keys([str(i) for i in range(20000)]))
    draws = randomness.uniform(keys, 4)
    assert draws.min() >= 0 and draws.max() < 1
    counts = np.apply_along_axis(lambda column: np.histogram(column, 20, (0, 1))[0], 0, draws)
    # Chi-square with 19 degrees of freedom stays below 43.8 in 999 of 1,000 samples.
    assert (((counts - 1000) ** 2 / 1000).sum(axis=0) < 43.8).all()
    assert np.abs(np.corrcoef(draws.T) - np.eye(4)).max() < 0.03
    assert (randomness.uniform(keys[100:101], 4) == draws[100]).all()


def test_generators_differ_by_purpose():
    one, two = randomness.generator(0, "order", 1), randomness.generator(0, "order", 2)
    assert one.integers(2**60) != two.integers(2**60)
