"""What a resumed run keeps: the same model, data, seed and settings, or an error that names the first that differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import ConfigError, DataError
from genloom.files.atomic import plain
from genloom.training.settings import FIXED, TrainingSettings, typed

if TYPE_CHECKING:
    from genloom.training.configuration import Job

__all__ = ["check_same"]


def check_same(job: Job, stored: Mapping[str, Any], path: Path) -> None:
    """Refuse to resume as another training than the one the run began.

    Raises:
        ConfigError: names the first thing that differs, both values, and the mend.
        DataError: the data themselves changed since.
    """
    now = job.document(0)
    _check_data(stored.get("data", {}), now["data"], path)
    before, after = stored["model"].get("options", {}), _stored_form(now["model"]["options"])
    training = _stored_form(now["training"])
    was = _stored_form(dataclasses.asdict(TrainingSettings())) | stored.get("training", {})
    pairs = [
        ("MODEL", stored["model"].get("id"), now["model"]["id"]),
        ("--preset", stored["model"].get("preset"), job.preset),
        ("--init-from", was.get("init_from"), job.init_from),
        ("--seed", was.get("seed"), job.seed),
        *((f"--set {name}", before.get(name), after.get(name)) for name in {**before, **after}),
        *((typed(name), was.get(name), training.get(name)) for name in FIXED),
    ]
    for asked, old, new in pairs:
        if old != new:
            raise ConfigError(
                f"Cannot resume {str(path)!r} with a different {asked} (run: {old!r}, asked: {new!r}).",
                mend=f"Omit {asked}, or train a new run with another --out.",
            )


def _check_data(stored: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    if stored.get("fingerprint") == now["fingerprint"]:
        return
    if stored.get("address") != now["address"]:
        raise ConfigError(
            f"The run {str(path)!r} was trained on {stored.get('address')!r}, not on {now['address']!r}.",
            mend="Omit --data to resume, or start a new run from it: --init-from RUN --data SRC --out NEW.",
        )
    raise DataError(
        f"The data at {now['address']!r} changed since the run {str(path)!r} began: fingerprint "
        f"{now['fingerprint']} instead of {stored.get('fingerprint')}.",
        mend="Restore the data to resume, or train a new run with another --out.",
    )


def _stored_form(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plain(values, keep_none=False)
    return found
