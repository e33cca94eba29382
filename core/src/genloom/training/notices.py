"""What of a training may be unexpected, one line each on stderr before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genloom.data.span import narrow_split
from genloom.runs.files import tell

if TYPE_CHECKING:
    from genloom.model import GenerativeModel
    from genloom.runs import Run
    from genloom.training.configuration import Job
    from genloom.training.feeding import Feed
    from genloom.training.plan import Plan

__all__ = ["notices"]


def notices(run: Run, model: GenerativeModel, job: Job, feed: Feed, plan: Plan) -> None:
    """Say what of a training may be unexpected: no steps, large batches, flat values, a schedule of another length.

    Args:
        run: as it stands, before this training writes to it.
        model: compiled for the plan, with the weights and counters of the run.
        job: what is asked for.
        feed: its data.
        plan: its length.
    """
    if not plan.total_steps:
        tell("no steps are asked for: the run keeps the weights that it begins with.")
    batch, rows = job.settings.batch_size, len(feed.train)
    if batch > rows:
        tell(
            f"a batch of {batch} holds some of the {rows} training samples more than once; batch_size={rows} does not."
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


def _told(rates: dict[str, float]) -> str:
    return ", ".join(f"{rate:.2g}" for rate in rates.values())
