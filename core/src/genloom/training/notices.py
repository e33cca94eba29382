"""What of a training may be unexpected, one line each on stderr before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genloom.data.span import narrow_split
from genloom.messages import tell
from genloom.runs.stretches import changes, read

if TYPE_CHECKING:
    from genloom.model import GenerativeModel
    from genloom.runs import Run
    from genloom.training.configuration import Job
    from genloom.training.feeding import Feed
    from genloom.training.plan import Plan

    Stretches = Sequence[Mapping[str, Any]]

__all__ = ["notices"]


def notices(run: Run, model: GenerativeModel, job: Job, feed: Feed, plan: Plan, stretches: Stretches) -> None:
    """Say what of a training may be unexpected: no steps, large batches, no validation, flat values, other versions.

    Args:
        run: as it stands, before this training writes to it.
        model: compiled for the plan, with the weights and counters of the run.
        job: what is asked for.
        feed: its data.
        plan: its length.
        stretches: the history of the run, this training in it.
    """
    _tell_changes(run, stretches)
    if not plan.total_steps:
        tell("0 steps are planned: the run keeps its initial weights.")
    batch, rows = job.settings.batch_size, len(feed.train)
    if batch > rows:
        tell(f"batch_size={batch} is more than the {rows} training samples, so some repeat: use batch_size={rows}.")
    every = job.settings.validate_every
    if feed.held_out is not None and plan.epochs < every:
        planned = f"{plan.epochs} epochs are" if plan.epochs > 1 else "1 epoch is"
        tell(
            f"no held-out loss is measured: {planned} planned, validate_every={every}. "
            "Use --set training.validate_every=1, or set nothing aside: --set training.validation=0."
        )
    narrow = narrow_split(job.dataset.train, job.dataset.spec)
    if narrow is not None:
        tell(narrow)
    before = run.planned_steps if run.exists else None
    if job.settings.schedule != "constant" and before not in (None, plan.total_steps):
        was = model.optimizer.rates()
        model.optimizer.follow_schedules()
        tell(
            f"the {job.settings.schedule} schedule is stretched from {before} to {plan.total_steps} steps: "
            f"the learning rate goes from {_told(was)} to {_told(model.optimizer.rates())}."
        )


def _tell_changes(run: Run, stretches: Stretches) -> None:
    """Say what else than the length is new since the run stopped."""
    earlier = read(run.config) if run.exists else []
    if earlier and len(stretches) > len(earlier):
        new = [change for change in changes(earlier[-1], stretches[-1]) if not change.startswith("steps ")]
        if new:
            tell(f"from step {stretches[-1]['step']} on, the run uses {', '.join(new)}: run.toml records both.")


def _told(rates: dict[str, float]) -> str:
    return ", ".join(f"{rate:.2g}" for rate in rates.values())
