"""The fingerprint of a score: everything but the samples that its value depends on, so unlike scores never mix."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

__all__ = ["Fingerprint"]

# Raised when a metric's or a feature's arithmetic changes, so that old and new values part.
REVISION = 1


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """How a score was made.

    Attributes:
        metric: the score's name, such as `fd[pca20]`.
        data: fingerprint of the data set it was measured against.
        n: generated samples.
        reference_n: held-out real samples they were compared with.
        features: name of the features, `values` for the samples themselves.
        features_digest: hash of the features' learnt weights, "" when the data determine them.
        shape: shape of one sample.
        resizing: how samples were resized before the features, "none" here: they are measured as they are.
        setting: anything else the value depends on: engine and machine of a cost, model of a loss.
        revision: version of the arithmetic.
    """

    metric: str
    data: str
    n: int
    reference_n: int = 0
    features: str = "values"
    features_digest: str = ""
    shape: tuple[int, ...] = ()
    resizing: str = "none"
    setting: str = ""
    revision: int = REVISION

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name this fingerprint."""
        plain = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them."""
        return {**dataclasses.asdict(self), "shape": list(self.shape)}
