"""Collapse, said while there is time: codes that no longer depend on the samples, and code books of few words."""

from __future__ import annotations

import numpy as np
from keras import ops

from genloom import GenerativeModel
from genloom.metrics import active_units
from genloom.model import Alarm, Seen, below

__all__ = ["few_codes", "inactive_units", "vanishing_kl"]

_LEAST_KL = 0.25  # nats in all dimensions, a third of a bit; digits have 1 at the least, as they begin
_LEAST_USAGE = 0.1  # of the codes there could be in a batch; healthy books use most of theirs
_MEND = (
    "Lower beta, raise it slowly from 0 (annealing), leave each dimension some free bits, or take a smaller decoder."
)


def inactive_units(model: GenerativeModel) -> Alarm:
    """Return the alarm of a model with `encode`, none of whose dimensions is active (Burda et al. 2016)."""

    def active(seen: Seen) -> float | None:
        batch = seen.rows()
        labelled = {"label": batch["label"]} if model.takes_labels else {}
        codes = np.asarray(ops.convert_to_numpy(model.encode(batch["x"], **labelled)))
        return active_units(codes.reshape(len(codes), -1)) if len(codes) > 1 else None

    meaning = "no dimension of the code varies with the samples, so the decoder has learnt to do without it"
    return Alarm("active_units", active, below(1.0), meaning, _MEND)


def vanishing_kl() -> Alarm:
    """Return the alarm of codes whose posterior is the prior; needs a metric `kl`, in nats."""

    def kl(seen: Seen) -> float | None:
        return seen.logged.get("kl")

    meaning = f"the code carries less than {_LEAST_KL} nats of a sample, so the decoder has learnt to do without it"
    return Alarm("kl", kl, below(_LEAST_KL), meaning, _MEND)


def few_codes() -> Alarm:
    """Return the alarm of a code book of which hardly a word is used; needs a metric `usage`, a share."""

    def usage(seen: Seen) -> float | None:
        return seen.logged.get("usage")

    meaning = f"a batch uses less than {_LEAST_USAGE:.0%} of the codes that it could, so most of the book is dead"
    mend = "Take fewer codes, let dead ones restart, or use vae/fsq, whose codes cannot die."
    return Alarm("usage", usage, below(_LEAST_USAGE), meaning, mend)
