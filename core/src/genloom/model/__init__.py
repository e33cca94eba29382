"""What a model is: its phases, the step that trains them, and what every family builds with."""

from __future__ import annotations

from genloom.model.alarm import Alarm, Seen, below
from genloom.model.generative import GenerativeModel
from genloom.model.phase import Phase
from genloom.model.preparation import Preparation, Start

__all__ = ["Alarm", "GenerativeModel", "Phase", "Preparation", "Seen", "Start", "below"]
