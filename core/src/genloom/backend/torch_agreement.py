"""Whether a captured step does what the eager step does, on kernels that need not repeat themselves.

On a processor the two agree to the last bits. On a GPU atomic sums round otherwise from run to run, and Adam's first
step turns the sign of a tiny gradient into a whole update. There a difference is held against the spread of several
eager runs from the same state: nearly all elements must agree as closely as those runs do, and the others may not add
up to an update that was forgotten. Runs that differ by more than rounding show that the step depends on something
besides its variables, which a capture would freeze.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch

__all__ = ["disagreement"]

_ROUNDING = 1e-5  # relative; where kernels repeat themselves replay and eager differ by nothing
_MORE_RUNS = 2  # eager runs whose spread is taken, besides the first
_SPREADS = 4.0  # a difference of the same distribution as two others exceeds the larger four times in a hundred cases
_NEARLY_ALL = 0.9  # of the elements of a variable; the signs of the others may turn by chance
_OF_A_CHANGE = 1e-2  # what another order of sums leaves in bfloat16, as where a recording picks other kernels
_FORGOTTEN = 0.5  # of the norm of an update
_OF_ROUNDING = 0.05  # of an element's change, or of the usual one of its variable


def disagreement(
    names: Sequence[str],
    before: Sequence[torch.Tensor],
    eager: Sequence[torch.Tensor],
    found: Sequence[torch.Tensor],
    again: Callable[[], Sequence[torch.Tensor]] | None = None,
    share: float = 0.0,
) -> str | None:
    """Say in what a captured step differs from the eager one, or return None.

    Args:
        names: of the variables.
        before: their values at the beginning of the step.
        eager: after an eager step.
        found: after the captured step, from the same state and the same random numbers.
        again: runs the eager step from that state once more and returns the values after it, on a device whose
            kernels need not repeat themselves; None on others.
        share: of a variable's largest update, allowed besides, for compilers that sum in another order.
    """
    off = [i for i in range(len(names)) if not _equal(before[i], eager[i], found[i], share)]
    if not off:
        return None
    if again is None:
        return f"its captured form gives another value of {names[off[0]]}"
    runs = [list(eager), *([value.clone() for value in again()] for _ in range(_MORE_RUNS))]
    if not _repeats(before, runs):
        return "from the same state it gives other values each time, so it depends on more than its variables"
    for i in off:
        if not _within_spread(before[i], [run[i] for run in runs], found[i]):
            return f"its captured form gives another value of {names[i]}"
    return None


def _repeats(before: Sequence[torch.Tensor], runs: Sequence[Sequence[torch.Tensor]]) -> bool:
    """Whether runs differ by no more than rounding in nearly all that they change."""
    changed = close = 0
    for old, one, *others in zip(before, *runs, strict=True):
        change = (one.double() - old.double()).abs()
        moved = change > 0
        usual = change.square().mean().sqrt()
        changed += int(moved.sum())
        spread = torch.stack([(one.double() - other.double()).abs() for other in others]).amax(0)
        close += int((moved & (spread <= _OF_ROUNDING * change.clamp(min=usual))).sum())
    return close >= _NEARLY_ALL * changed


def _equal(before: torch.Tensor, eager: torch.Tensor, found: torch.Tensor, share: float) -> bool:
    if not eager.numel():
        return True
    allowed = _ROUNDING * eager.double().abs().max().clamp(min=1e-3)
    allowed += share * (eager.double() - before.double()).abs().max()
    return bool((found.double() - eager.double()).abs().max() <= allowed)


def _within_spread(before: torch.Tensor, runs: Sequence[torch.Tensor], found: torch.Tensor) -> bool:
    change, difference = runs[0].double() - before.double(), found.double() - runs[0].double()
    pairs = [one.double() - other.double() for one, other in itertools.combinations(runs, 2)]
    norm = max(float(pair.norm()) for pair in pairs)
    spread = max(_of_nearly_all(pair) for pair in pairs)
    most = _of_nearly_all(difference) <= _SPREADS * spread + _OF_A_CHANGE * _of_nearly_all(change)
    return most and float(difference.norm()) <= _SPREADS * norm + _FORGOTTEN * float(change.norm())


def _of_nearly_all(difference: torch.Tensor) -> float:
    """Return what nearly all elements stay under."""
    flat = difference.abs().flatten()
    return float(flat.kthvalue(math.ceil(_NEARLY_ALL * flat.numel())).values)
