"""Ending early: a bound that a logged number passes, or patience that runs out."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from genloom.errors import ConfigError, nearest
from genloom.messages import say

__all__ = ["Patience", "StopWhen", "check_logged", "default_monitor", "parse_bound"]

_BOUND = re.compile(r"\s*([A-Za-z_][\w\[\]./-]*)\s*(<=|>=|<|>)\s*(\S+)\s*")
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def parse_bound(text: str, names: Iterable[str]) -> tuple[str, str, float]:
    """Read 'METRIC<VALUE' (also <=, >, >=) into its three parts.

    Raises:
        ConfigError: another form, or a metric that is not logged (with the nearest name).
    """
    match, names = _BOUND.fullmatch(text), list(names)
    try:
        metric, sign, value = match.groups() if match else ("", "", "")
        bound = float(value)
    except ValueError:
        raise ConfigError(f"stop_when needs METRIC<VALUE, got {text!r}.", mend="Example: 'val_loss<90'.") from None
    check_logged("stop_when", metric, names)
    return metric, sign, bound


def check_logged(setting: str, metric: str, names: Sequence[str]) -> None:
    """Raise ConfigError, with the nearest name, for a setting that names a number which no epoch logs."""
    if metric not in names:
        raise ConfigError(
            f"{setting} names {metric!r}, which is not logged.{nearest(metric, names)}",
            mend=f"Logged: {', '.join(names)}.",
        )


def default_monitor(names: Iterable[str]) -> str:
    """Return what patience watches by default: val_loss, else the first held-out number, else the first loss."""
    names = list(names)
    held_out = [name for name in names if name.startswith("val_")]
    return "val_loss" if "val_loss" in names else (held_out or names)[0]


class StopWhen(keras.callbacks.Callback):
    """Stop after the epoch in which a logged number passes a bound."""

    def __init__(self, text: str, names: Iterable[str]) -> None:
        super().__init__()
        self.metric, self.sign, self.bound = parse_bound(text, names)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare, in epochs that have the number."""
        if self.metric in (logs or {}) and _COMPARE[self.sign](value := float(logs[self.metric]), self.bound):
            self.model.stop_training = True
            say(f"stops after epoch {epoch + 1}: {self.metric} is {value:.6g}, which is {self.sign} {self.bound:g}.")


class Patience(keras.callbacks.Callback):
    """Stop when a number has not improved for so many epochs in which it was logged.

    Args:
        monitor: name of the number.
        mode: "min" or "max".
        patience: epochs without a better value, of those that log it, before training stops.
    """

    def __init__(self, monitor: str, mode: str, patience: int) -> None:
        super().__init__()
        self.monitor, self.mode, self.patience = monitor, mode, patience
        self.best, self.wait = float("inf"), 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare with the best so far."""
        if self.monitor not in (logs or {}):
            return
        value = float(logs[self.monitor]) * (1.0 if self.mode == "min" else -1.0)
        self.wait = 0 if value < self.best else self.wait + 1
        self.best = min(self.best, value)
        if self.wait >= self.patience:
            self.model.stop_training = True
            say(f"stops after epoch {epoch + 1}: {self.monitor} was not better in {self.wait} epochs (patience).")

    def get_state(self) -> dict[str, Any]:
        """Return the counters a resumed run needs."""
        return {"best": self.best, "wait": self.wait}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take the counters back."""
        self.best, self.wait = float(state["best"]), int(state["wait"])
