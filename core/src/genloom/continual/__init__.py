"""Models that keep learning: one run updated behind a gate, and sequences of tasks with what they cost."""

from __future__ import annotations

from genloom.continual.sequence import Sequence, Task, read_sequence, run_sequence
from genloom.continual.updating import rollback, update

__all__ = ["Sequence", "Task", "read_sequence", "rollback", "run_sequence", "update"]
