"""One measured score with what is needed to read it: n, the floor of real data, the opponents, the fingerprint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from genloom.metrics.fingerprint import Fingerprint

__all__ = ["MetricResult"]


@dataclasses.dataclass(frozen=True)
class MetricResult:
    """One score of one set of generated samples.

    Attributes:
        name: `fd[pca20]`, `precision`, ...; features in brackets.
        value: the score, NaN where there is none.
        n: samples measured.
        lower_is_better: direction; None when nearer to the floor is better.
        fingerprint: how it was made; scores with different fingerprints do not compare.
        floor: the score that real data get at the same n; None where real data cannot be scored.
        opponents: scores of simple models fitted on the training data, at the same n.
        reason: why there is no score, "" where there is one.
    """

    name: str
    value: float
    n: int
    lower_is_better: bool | None
    fingerprint: Fingerprint
    floor: float | None = None
    opponents: Mapping[str, float] = dataclasses.field(default_factory=dict)
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return what metrics.json holds: `fingerprint` is the digest, `protocol` the fields behind it.

        A score that is not there is None, with its `reason`.
        """
        return {
            "name": self.name,
            **({"value": None, "reason": self.reason} if self.reason else {"value": self.value}),
            "n": self.n,
            "floor": self.floor,
            "opponents": dict(self.opponents),
            "lower_is_better": self.lower_is_better,
            "fingerprint": self.fingerprint.digest,
            "protocol": self.fingerprint.to_dict(),
        }
