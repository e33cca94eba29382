"""GenLoom's own callbacks of a training: one idea per file, in the order they are called."""

from __future__ import annotations

from genloom.training.callbacks.alarms import Alarms
from genloom.training.callbacks.checkpoint import Checkpoint
from genloom.training.callbacks.finite import StopOnNaN
from genloom.training.callbacks.interruption import Interruption
from genloom.training.callbacks.log import RunLog
from genloom.training.callbacks.progress import Progress
from genloom.training.callbacks.samples import SampleGrid
from genloom.training.callbacks.stopping import Patience, StopWhen
from genloom.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "Alarms",
    "Checkpoint",
    "Interruption",
    "Patience",
    "Progress",
    "RunLog",
    "SampleGrid",
    "StopOnNaN",
    "StopWhen",
    "TensorBoard",
]
