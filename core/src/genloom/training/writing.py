"""`genloom.training.write_run`: keep a model whose weights come from elsewhere as a run, without a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.errors import ConfigError, RunError
from genloom.files.atomic import write_atomic
from genloom.model.state import collect_weights
from genloom.options import runs_named_by
from genloom.plugins.registry import find, owner
from genloom.runs import Run, create_run, save
from genloom.runs.sealing import seal
from genloom.training.beginning import plain_options
from genloom.training.callbacks.finite import not_finite
from genloom.training.configuration import versions

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["write_run"]


def write_run(id: str, model: GenerativeModel, out: str | Path, *, files: Mapping[str, bytes] | None = None) -> Run:
    """Write a run at step 0: it is sampled, loaded and started from like one that was trained, but names no data.

    Args:
        id: the model's component, by which `genloom.load` builds it again.
        model: with its weights; it need not be compiled.
        out: the run directory, absent or empty.
        files: name → content of what the run keeps beside, such as a tokenizer.

    Raises:
        ConfigError: `out` is taken, or the component builds models of another class.
        NotFoundError: no model has this id.
        RunError: a weight is not finite, or the disk refused.
    """
    component = find("model", id)
    if type(model) is not component.load():
        raise ConfigError(f"{component.id} builds no {type(model).__name__}.", mend="Give the model's own id.")
    if runs_named_by(component.options):
        raise ConfigError(
            f"{component.id} is made of other runs' models, which only a training keeps.", mend="Train it."
        )
    arrays = collect_weights(model)
    if bad := not_finite(arrays):
        raise RunError(f"{len(bad)} of {len(arrays)} weights are not finite, first {bad[0]}.", mend="Check the model.")
    run = create_run(out)
    with run.lock():
        for name, content in (files or {}).items():
            write_atomic(run.path / name, content)
        document = _document(component.id, model, component.training)
        about = {"spec": model.spec.to_dict(), "model": component.id, "versions": versions()}
        sealed = seal(document, files or {}, document["training"])
        save(run, 0, arrays, {**about, **sealed, "metrics": {}, "seconds": 0.0})
        run.write_config(document)
        run.finish(0, 0, 0.0)
    return run


def _document(id: str, model: GenerativeModel, recommended: Mapping[str, Any]) -> dict[str, Any]:
    """Return what run.toml holds: nothing of data but their description, and nothing of how to train."""
    return {
        "model": {
            "id": id,
            "plugin": owner(find("model", id)).source,
            "seed": model.seed,
            "options": plain_options(model.options),
        },
        "data": {"spec": model.spec.to_dict()},
        "training": {"seed": model.seed, "noise": model.noise, "post": recommended.get("post", ())},
        "versions": versions(),
    }
