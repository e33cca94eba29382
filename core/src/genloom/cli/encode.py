"""`genloom encode`: the latent codes of a data set, written so that `npz:FILE` reads them as data."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import click

from genloom import engine
from genloom.cli import offers
from genloom.cli.flags import backend, json_flag, run_argument
from genloom.cli.output import note, print_json, say
from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom.data import Dataset

__all__ = ["encode", "scores_of"]


@click.command()
@run_argument
@click.option("--data", metavar="SRC", required=True, help="Data to encode.", shell_complete=offers.data)
@click.option("--out", metavar="z.npz", type=click.Path(), required=True, help="File to write.")
@backend
@json_flag
def encode(run: str, data: str, out: str, backend: str | None, as_json: bool) -> None:
    """Write the latent codes of a data set: arrays x, label, x_test, label_test and class_names.

    The file is a data set itself: genloom train MODEL --data npz:z.npz

    Where the factors of the data are known, as of toy:shapes, the held-out codes are scored against them.
    """
    from genloom.runs import open_run

    opened = open_run(run)
    path = pathlib.Path(out)
    if path.suffix != ".npz":
        raise ConfigError(f"Codes are written as .npz, got {out!r}.", mend="End --out in .npz.")
    engine.choose(backend)
    from genloom.opening.load import load
    from genloom.sampling.latents import opened_for

    model = load(opened)
    dataset = opened_for(model, data)
    arrays = _codes(model, dataset)
    _save(arrays, path)
    scores = scores_of(arrays, dataset)
    if as_json:
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        print_json(run=opened.path, out=path, arrays=shapes, **({"disentanglement": scores} if scores else {}))
    else:
        if scores:
            note("Held-out codes: " + ", ".join(f"{name} {value:.3g}" for name, value in scores.items()) + ".")
        say(path)


def scores_of(arrays: dict[str, Any], dataset: Dataset) -> dict[str, float]:
    """Return how each dimension of the held-out codes stands for one factor of the data, where factors are known."""
    from genloom.metrics import disentanglement_scores

    factors = dataset.factors
    if factors is None or arrays["x_test"][0].size < 2:
        return {}
    unordered = [factors.names.index(name) for name in factors.unordered]
    return disentanglement_scores(arrays["x_test"], factors.test, unordered)


def _codes(model: Any, dataset: Dataset) -> dict[str, Any]:
    import numpy as np

    from genloom.sampling.latents import CHUNK, encoded

    names = dataset.spec.class_names
    arrays: dict[str, Any] = {"class_names": np.array(names)} if names else {}
    for split, suffix in ((dataset.train, ""), (dataset.test, "_test")):
        arrays |= {f"{name}{suffix}": array for name, array in _encoded_split(model, split, CHUNK, encoded).items()}
    return arrays


def _encoded_split(model: Any, split: Any, chunk: int, encoded: Any) -> dict[str, Any]:
    """Encode chunk by chunk: a streamed data set never lies in memory whole."""
    import numpy as np

    parts: dict[str, list[Any]] = {}
    for start in range(0, len(split), chunk):
        batch = split.take(np.arange(start, min(start + chunk, len(split))))
        parts.setdefault("x", []).append(encoded(model, batch))
        if "label" in batch:
            parts.setdefault("label", []).append(batch["label"])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _save(arrays: dict[str, Any], path: pathlib.Path) -> None:
    import io

    import numpy as np

    from genloom.files.atomic import make_folder, write_atomic

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    make_folder(path.parent)
    write_atomic(path, buffer.getvalue())
