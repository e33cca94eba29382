"""The order of training is a pure function of (seed, step), whatever reads it: threads, processes, a resumed run."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

import numpy as np
import pytest

from genloom.data import ArraySplit, Loader, Subset, split_validation, steps_per_epoch, validation_batches
from genloom.data.order import epoch_order, rows_of_step
from genloom.errors import ConfigError, DataError

pytestmark = pytest.mark.any_engine

# Computed once with NumPy 2.4 from the definition in `test_order_is_the_published_function_of_seed_epoch_and_position`.
FROZEN = ([0, 2, 9, 1, 8, 5, 4, 3, 6, 7], [2, 5, 9, 7, 3, 0, 6, 8, 4, 1])


def numbered(n: int, *, labelled: bool = True) -> ArraySplit:
    """Sample i holds the number i, so that a batch tells which samples it is made of."""
    x = np.repeat(np.arange(n, dtype=np.float32)[:, None], 3, axis=1)
    return ArraySplit(x, np.arange(n) if labelled else None)


def seen(batches, steps: int) -> np.ndarray:
    return np.concatenate([batch["label"] for batch in itertools.islice(batches, steps)])


def test_every_pass_is_a_permutation_and_no_two_passes_agree():
    labels = seen(iter(Loader(numbered(60), 10, seed=4)), 18).reshape(3, 60)
    for labels_of_pass in labels:
        assert sorted(labels_of_pass) == list(range(60))
    assert not (labels[0] == labels[1]).all()
    assert not (labels[1] == labels[2]).all()


def test_order_is_the_published_function_of_seed_epoch_and_position():
    # Written out anew from the docstrings: raw Philox words of key (seed, epoch), sorted.
    n, rows, seed = 23, 7, 11
    stream = np.concatenate(
        [
            np.argsort(np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw(n), kind="stable")
            for epoch in range(4)
        ]
    )
    for step in range(12):
        np.testing.assert_array_equal(rows_of_step(seed, step, rows, n), stream[step * rows : (step + 1) * rows])


def test_order_is_frozen():
    # A change here changes every resumed run: only a new major version may do it.
    assert epoch_order(0, 0, 10).tolist() == FROZEN[0]
    assert epoch_order(7, 3, 10).tolist() == FROZEN[1]


def test_seeds_differ_and_negative_seeds_work():
    orders = [tuple(epoch_order(seed, 0, 50)) for seed in (0, 1, -1, 2**63)]
    assert len(set(orders)) == 4


@pytest.mark.parametrize("start", [1, 5, 17, 1000])
def test_start_gives_exactly_the_tail(start):
    split = numbered(37)
    tail = [batch["x"] for batch in itertools.islice(iter(Loader(split, 8, 3, start=start)), 6)]
    direct = [Loader(split, 8, 3).batch(start + i)["x"] for i in range(6)]
    np.testing.assert_array_equal(tail, direct)


def test_iterating_in_processes_gives_the_same_batches(tmp_path):
    # In a program of its own: the workers import the main module, and nothing may be left behind at its end.
    program = tmp_path / "program.py"
    program.write_text(
        "import itertools, numpy as np\n"
        "from genloom.data import ArraySplit, Loader\n"
        "if __name__ == '__main__':\n"
        "    split = ArraySplit(np.arange(50.0)[:, None], np.arange(50))\n"
        "    loader = Loader(split, 8, 3, start=2, workers=1)\n"
        "    batches = iter(loader)\n"
        "    for i, batch in enumerate(itertools.islice(batches, 9)):\n"
        "        np.testing.assert_array_equal(batch['label'], loader.batch(2 + i)['label'])\n"
        "    print('equal')\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "equal\n"), done.stderr
    assert "Exception ignored" not in done.stderr
    assert "leaked" not in done.stderr


def test_a_killed_process_resumes_with_the_same_batches():
    # Another process, another hash seed: nothing but (seed, step) may enter.
    program = (
        "import numpy as np\n"
        "from genloom.data import ArraySplit, Loader\n"
        "it = iter(Loader(ArraySplit(np.arange(31.0)[:, None], np.arange(31)), 5, 9, start=13))\n"
        "print(next(it)['label'].tolist(), next(it)['label'].tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    loader = Loader(numbered(31), 5, 9)
    assert done.stdout == f"{loader.batch(13)['label'].tolist()} {loader.batch(14)['label'].tolist()}\n"


def test_a_split_smaller_than_a_batch_is_repeated_evenly():
    batch = Loader(numbered(3), 8, seed=0).batch(0)
    assert batch["x"].shape == (8, 3)
    assert sorted(np.bincount(batch["label"]).tolist()) == [2, 3, 3]
    assert sorted(batch["label"][:3]) == [0, 1, 2]


def test_repeats_take_fresh_samples():
    batch = Loader(numbered(100), 8, seed=0, repeats=5).batch(0)
    assert len(set(batch["label"].tolist())) == 40


def test_shards_put_together_are_the_whole_batch():
    split = numbered(50)
    whole = Loader(split, 8, 1, repeats=2).batch(4)["label"].reshape(2, 8)
    halves = [Loader(split, 8, 1, repeats=2, shard=(i, 2)).batch(4)["label"].reshape(2, 4) for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), whole)


def test_unlabelled_batches_have_no_label():
    assert set(Loader(numbered(9, labelled=False), 4, 0).batch(0)) == {"x"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"start": -1}, "start must be at least 0, got -1"),
        ({"repeats": 0}, "repeats must be at least 1, got 0"),
        ({"shard": (0, 3)}, "does not divide batches of 4"),
        ({"shard": (2, 2)}, "does not divide"),
    ],
)
def test_wrong_arguments_are_named(changes, words):
    with pytest.raises(ConfigError, match=words):
        Loader(numbered(9), **{"batch_size": 4, "seed": 0, **changes})


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="no samples"):
        Loader(numbered(0), 4, 0)


def test_steps_per_epoch():
    assert [steps_per_epoch(n, 64) for n in (1297, 128, 127, 3)] == [20, 2, 1, 1]
    assert Loader(numbered(100), 30, 0).steps_per_epoch == 3


def test_feeds_a_hundred_thousand_small_pictures_a_second():
    # Measured 110,000 to 900,000 on two busy cores; the bound leaves room for a slow machine.
    split = ArraySplit(np.zeros((1297, 8, 8, 1), np.uint8), np.zeros(1297, np.int32), divisor=16)
    batches = iter(Loader(split, 128, 0))
    next(batches)
    best = 0.0
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(100):
            next(batches)
        best = max(best, 100 * 128 / (time.perf_counter() - begin))
    assert best > 30_000


def test_validation_batches_cover_the_split_once():
    batches = validation_batches(numbered(10), 4)
    assert len(batches) == len(list(batches)) == 3
    last = batches[-1]
    assert last["x"].shape == (4, 3)
    assert last["mask"].tolist() == [1, 1, 0, 0]
    assert last["mask"].dtype == np.float32
    assert last["index"].dtype == np.int32
    kept = [batch["label"][batch["mask"] == 1] for batch in batches]
    assert np.concatenate(kept).tolist() == list(range(10))
    assert all((batch["index"] == batch["label"]).all() for batch in batches)
    assert (last["x"][2:] == 9).all()


def test_validation_batches_end():
    batches = validation_batches(numbered(4), 4)
    with pytest.raises(IndexError):
        batches[1]
    with pytest.raises(ConfigError, match="batch_size"):
        validation_batches(numbered(4), 0)


def test_split_validation_divides_without_overlap():
    train, validation = split_validation(numbered(101), 0.2, seed=5)
    assert (len(train), len(validation)) == (81, 20)
    labels = np.concatenate([train.arrays()["label"], validation.arrays()["label"]])
    assert sorted(labels) == list(range(101))
    again = split_validation(numbered(101), 0.2, seed=5)[1].arrays()["label"]
    other = split_validation(numbered(101), 0.2, seed=6)[1].arrays()["label"]
    np.testing.assert_array_equal(validation.arrays()["label"], again)
    assert set(other) != set(again)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0])
def test_split_validation_refuses_other_fractions(fraction):
    with pytest.raises(ConfigError, match=f"between 0 and 1, got {fraction}"):
        split_validation(numbered(10), fraction, 0)


def test_split_validation_leaves_one_sample_on_each_side():
    assert [len(part) for part in split_validation(numbered(2), 0.001, 0)] == [1, 1]
    with pytest.raises(
        ConfigError, match=r"^1 training sample.*too few.*validation=0 \(--set training\.validation=0\)"
    ):
        split_validation(numbered(1), 0.5, 0)


def test_subset_takes_the_rows_it_names():
    subset = Subset(numbered(10), [7, 2, 5])
    assert len(subset) == 3
    assert subset.take([2, 0])["label"].tolist() == [5, 7]
    assert subset.arrays(2)["label"].tolist() == [7, 2]


def test_array_split_divides_when_taken():
    split = ArraySplit(np.array([[0], [255], [51]], dtype=np.uint8), divisor=255)
    x = split.arrays()["x"]
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x[:, 0], np.float32([0, 1, 0.2]))
    with pytest.raises(DataError, match="3 samples have labels of shape"):
        ArraySplit(np.zeros((3, 1)), [0, 1])
