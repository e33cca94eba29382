"""New data beside those a model knows: names of classes that only one side has are no agreement, and that is said."""

from __future__ import annotations

import pytest

from genloom.data import DataSpec
from genloom.data.agreement import check_classes, tell_classes

pytestmark = pytest.mark.any_engine

UNNAMED = DataSpec((4,), kind="signal", classes=2)
NAMED = UNNAMED.replace(class_names=("cat", "dog"))


@pytest.mark.parametrize("look", [check_classes, tell_classes])
@pytest.mark.parametrize(("new", "kept", "unnamed"), [(UNNAMED, NAMED, "npz:a"), (NAMED, UNNAMED, "runs/b")])
def test_classes_without_names_are_told(
    look: object, new: DataSpec, kept: DataSpec, unnamed: str, capfd: pytest.CaptureFixture[str]
) -> None:
    look("npz:a", new, kept, "runs/b")
    told = f"{unnamed} has no class names: its class 0 is taken as 'cat', and so on in order."
    assert told in capfd.readouterr().err


@pytest.mark.parametrize("spec", [UNNAMED, NAMED, DataSpec((4,), kind="signal")])
def test_alike_classes_say_nothing(spec: DataSpec, capfd: pytest.CaptureFixture[str]) -> None:
    check_classes("npz:a", spec, spec, "runs/b")
    assert capfd.readouterr().err == ""
