"""Trained models that another model is made of, as its run.toml states them, so that it needs their runs no more.

[model.parts.autoencoder]            # the option that named the run
run = "runs/autoencoder"             # where it lay
step = 1000                          # of its weights, which the new run's own checkpoints hold
sha256 = "9f86…"                     # of the file they were read from, state.safetensors

[model.parts.autoencoder.model]      # and what it is built again from, as in its own run.toml
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from genloom.runs.checkpoint import load_latest
from genloom.runs.directory import Run

__all__ = ["Part", "stated_parts"]

_TRAINING = ("precision", "noise", "adapt", "retain")  # what a model that is built again depends on


@dataclasses.dataclass(frozen=True)
class Part:
    """A trained model that another one is made of.

    Attributes:
        run: path of its run.
        step: of the checkpoint that it was read from.
        sha256: of that checkpoint's arrays.
        config: the tables "model", "data" and "training" of its run.toml, as far as it is built from them.
    """

    run: str
    step: int
    sha256: str
    config: Mapping[str, Any]

    @classmethod
    def of(cls, run: Run) -> Part:
        """Describe the model of a run as its latest whole checkpoint has it.

        Raises:
            RunError: there is no such checkpoint.
        """
        manifest, config = load_latest(run)[1], run.config
        training = {name: value for name, value in config.get("training", {}).items() if name in _TRAINING}
        tables = {"model": config["model"], "data": {"spec": config["data"]["spec"]}, "training": training}
        return cls(str(run.path), manifest["step"], manifest["state_sha256"], tables)

    @property
    def id(self) -> str:
        """The model's component."""
        return str(self.config["model"]["id"])

    def document(self) -> dict[str, Any]:
        """Return what run.toml holds of it."""
        return {"run": self.run, "step": self.step, "sha256": self.sha256, **self.config}


def stated_parts(config: Mapping[str, Any]) -> dict[str, Part]:
    """Return by option the parts that a run.toml states."""
    return {name: _stated(table) for name, table in config.get("model", {}).get("parts", {}).items()}


def _stated(table: Mapping[str, Any]) -> Part:
    tables = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    return Part(table["run"], table["step"], table["sha256"], tables)
