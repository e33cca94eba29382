"""`genloom density RUN`: how likely a run finds data it has not seen."""

from __future__ import annotations

import json
import math
from typing import Any

import click

__all__ = ["density"]

CHUNK = 1000  # samples at once


@click.command()
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--data", metavar="SRC", help="Data to look at; the run's own by default.")
@click.option("-n", "n", type=click.IntRange(min=2), default=10_000, show_default=True, help="Samples, at most.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def density(run: str, data: str | None, n: int, as_json: bool) -> None:
    """Print the held-out log-likelihood of RUN in nats, with its standard error and, where known, the true one."""
    import numpy as np
    from keras import ops

    import genloom
    from genloom.errors import ConfigError

    opened = genloom.runs.open_run(run)
    model = genloom.load(opened)
    if not callable(getattr(model, "log_prob", None)):
        raise ConfigError(f"{type(model).__name__} has no likelihood.", mend="Train flow/realnvp or flow/spline.")
    dataset = genloom.data.open(data or opened.config["data"]["address"])
    if dataset.spec.shape != model.spec.shape:
        raise ConfigError(f"Samples of {dataset.address} are {dataset.spec.shape}, the run's are {model.spec.shape}.")
    x = dataset.test.take(genloom.data.drawn_rows(len(dataset.test), n))["x"]
    parts = [ops.convert_to_numpy(model.log_prob(x[start : start + CHUNK])) for start in range(0, len(x), CHUNK)]
    nats = np.concatenate(parts).astype(np.float64)
    true = None if dataset.density is None else float(np.mean(dataset.density(x)))
    _tell(nats.mean(), nats.std(ddof=1) / math.sqrt(len(nats)), len(nats), true, as_json)


def _tell(mean: float, error: float, n: int, true: float | None, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {"schema_version": 1, "nats": float(mean), "error": float(error), "n": n}
        print(json.dumps(document | ({} if true is None else {"true": true})))
        return
    print(f"log-likelihood  {mean:.4f} ± {error:.4f} nats a sample, over {n:,} held-out samples")
    if true is not None:
        print(f"the true one    {true:.4f}")
