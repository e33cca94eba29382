"""The endless, resumable stream of training batches: batch `step` is the same whenever and wherever it is asked for."""

from __future__ import annotations

import contextlib
import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from genloom.arguments import instance, whole
from genloom.data.dataset import Batch, Split
from genloom.data.order import rows_of_step
from genloom.errors import ConfigError, DataError
from genloom.options import LARGEST_SEED

__all__ = ["Loader", "steps_per_epoch"]

# More batches than any run takes; grain wants a length, and slices of it are lazy.
_ENDLESS = 1 << 62


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return max(1, n // batch_size): whole batches that n samples fill; what is left over opens the next epoch."""
    return max(1, n // batch_size)


class Loader:
    """Batches of one split, indexed by step.

    Every sample is seen once per pass over the split, each pass in a fresh order; a batch may span two passes, so
    splits smaller than a batch work. Position is the step alone: a loader built with `start=k` yields exactly what
    one built with `start=0` yields from its k-th batch on.

    Args:
        split: the samples.
        batch_size: samples per repeat.
        seed: any whole number of 64 bits; fixes the order.
        start: step of the first batch that iteration yields.
        repeats: slices of `batch_size` fresh samples in each batch, for models whose phases repeat.
        workers: processes that read ahead; 0 reads ahead in threads, which suits pictures that decode in C.
        shard: (index, count): of each slice of `batch_size` rows, this process takes the index-th of count parts.

    Raises:
        ConfigError: no split; a batch size, seed, start, repeats, workers or shard of another type or out of range.
        DataError: an empty split.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        *,
        start: int = 0,
        repeats: int = 1,
        workers: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        instance("split", split, Split, "one split of a data set", mend="Give dataset.train or dataset.test.")
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("seed", seed, -LARGEST_SEED),
            ("start", start, 0),
            ("repeats", repeats, 1),
            ("workers", workers, 0),
        ):
            whole(name, value, least, LARGEST_SEED)
        instance("shard", shard, tuple, "a pair (index, count)")
        if not 0 <= shard[0] < shard[1] or batch_size % shard[1]:
            raise ConfigError(f"shard {shard} does not divide batches of {batch_size}.", mend="Use a multiple of it.")
        if len(split) == 0:
            raise DataError("The split has no samples.", mend="Check the data with `genloom data check`.")
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.start, self.repeats, self.workers, self.shard = start, repeats, workers, shard

    @property
    def rows(self) -> int:
        """Rows of one step before sharding, batch_size * repeats."""
        return self.batch_size * self.repeats

    @property
    def steps_per_epoch(self) -> int:
        """`steps_per_epoch(len(split), batch_size)`."""
        return steps_per_epoch(len(self.split), self.batch_size)

    def batch(self, step: int) -> Batch:
        """Return the batch of one step: a pure function of (seed, step).

        Returns:
            {"x": float32 (rows, *shape), "label": int32 (rows,) when labelled}, rows = batch_size * repeats / shards;
            rows [r * batch_size, (r + 1) * batch_size) belong to repeat r.
        """
        indices = rows_of_step(self.seed, step, self.rows, len(self.split))
        part, parts = self.shard
        if parts > 1:
            share = self.batch_size // parts
            indices = indices.reshape(self.repeats, parts, share)[:, part].reshape(-1)
        return self.split.take(indices)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches from `start` on, without end, read ahead in the background."""
        with _without_notes():
            import grain

        # Item i is batch i: grain orders, prefetches and spreads over processes; rows are gathered at once in NumPy.
        batches = grain.MapDataset.source(_Batches(self))[self.start :]
        stream = batches.to_iter_dataset(grain.ReadOptions(*self._threads_and_buffer()))
        if self.workers:
            _accept_absl_defaults()
            stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=self.workers))
        return _closing(iter(stream), copy=self.workers > 0)

    def stream(self, start: int | None = None) -> Iterator[tuple[Batch]]:
        """Yield `(batch,)` without end: what Keras's `fit` takes, the same on its three backends.

        `model.fit(loader.stream(start), steps_per_epoch=k, shuffle=False)`: of generators, `fit` accepts those of
        tuples only, and warns unless shuffle is False. `train_step(data)` gets a tuple of one dict on JAX and
        TensorFlow and a list of one on PyTorch; `keras.utils.unpack_x_y_sample_weight(data)[0]` is the dict on all
        three. Give every `fit` call a fresh stream: Keras reads ahead, so a used one has lost batches.

        Args:
            start: first step, `self.start` when None.
        """
        begin = self.start if start is None else start
        loader = Loader(
            self.split,
            self.batch_size,
            self.seed,
            start=begin,
            repeats=self.repeats,
            workers=self.workers,
            shard=self.shard,
        )
        return ((batch,) for batch in loader)

    def _threads_and_buffer(self) -> tuple[int, int]:
        """Reading memory needs one thread; decoding files gains from several, since Pillow leaves the GIL."""
        return (4, 8) if self.split.streamed else (1, 4)


def _closing(iterator: Any, copy: bool) -> Iterator[Batch]:
    """Wrap grain's iterator so that its threads, processes and shared memory end with it, or with the program.

    Args:
        iterator: grain's.
        copy: whether batches lie in shared memory, which is to be given back at once.
    """
    held = [iterator]
    batches = _drain(held, copy)
    # The list lets go of grain's iterator before the interpreter takes its modules apart.
    weakref.finalize(batches, _close, held, copy)
    return batches


def _close(held: list[Any], shared: bool) -> None:
    held.pop().close()
    if shared:
        gc.collect()  # grain's iterators are in cycles with batches read ahead, whose shared memory must go too


def _drain(held: list[Any], copy: bool) -> Iterator[Batch]:
    while held:
        yield _copied(next(held[0])) if copy else next(held[0])


def _copied(batch: Batch) -> Batch:
    return {name: np.array(values) for name, values in batch.items()}


def _accept_absl_defaults() -> None:
    """Grain's processes read absl flags, which raise unless the program was started by absl's own `app.run`."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


class _Batches:
    """A loader seen as grain's random-access source: item i is the batch of step i."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, step: Any) -> Batch:
        return self._loader.batch(int(step))

    def __repr__(self) -> str:
        return f"Batches(rows={self._loader.rows}, seed={self._loader.seed})"


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Keep absl quiet, in which grain says on import that JAX, which it can do without, is not installed."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
