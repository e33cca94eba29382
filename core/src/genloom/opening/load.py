"""`genloom.load`: rebuild a run's model from the registry and read its arrays; nothing in a run is executed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.data.spec import DataSpec
from genloom.errors import ConfigError, nearest
from genloom.model.precision import policy
from genloom.model.state import restore_weights, weights_by_name
from genloom.opening.building import checked_model, instantiate
from genloom.opening.preparing import preparations
from genloom.plugins.registry import of_run, required
from genloom.runs import Run, load_latest, open_run
from genloom.runs.parts import Part, stated_parts

if TYPE_CHECKING:
    from genloom.model import GenerativeModel

__all__ = ["load", "load_with_step", "part_model", "rebuild", "trained_weights"]


def load(
    run: Run | str | Path, model: GenerativeModel | None = None, *, weights: Literal["ema", "trained"] = "ema"
) -> GenerativeModel:
    """Open a run's model, frozen, with the weights of its latest whole checkpoint.

    Args:
        run: a run or its path.
        model: a model to read the weights into, for runs that were trained on a model object; by default the
            model is rebuilt from the registry.
        weights: "ema" reads the moving average where the run has one, "trained" the weights themselves.

    Returns:
        The model, not compiled and not trainable: `draw`, `encode` and `decode` work where the family has them.

    Raises:
        ConfigError: there is no run, or it was trained on a model object and none is given.
        NotFoundError: the model's plugin is not installed.
        RunError: no whole checkpoint, or arrays that do not fit the model.
    """
    return load_with_step(run, model, weights=weights)[0]


def load_with_step(
    run: Run | str | Path, model: GenerativeModel | None = None, *, weights: Literal["ema", "trained"] = "ema"
) -> tuple[GenerativeModel, int]:
    """Open a run's model as `load` does, and say of which step its weights are."""
    if weights not in ("ema", "trained"):
        raise ConfigError(f"weights must be 'ema' or 'trained', got {weights!r}.{nearest(weights, ('ema', 'trained'))}")
    opened = run if isinstance(run, Run) else open_run(run)
    config = opened.config
    if model is None:
        _check_rebuilt(config)
    arrays, manifest = load_latest(opened)  # which vouches for run.toml, before a model of any size is built by it
    built = rebuild(config) if model is None else checked_model(model)
    restore_weights(built, arrays, averaged=weights == "ema")
    built.loaded_step = int(manifest["step"])
    built.attach(opened)
    built.trainable = False
    return built, built.loaded_step


def rebuild(config: dict[str, Any]) -> GenerativeModel:
    """Build the model that a run.toml describes, its weights drawn from its seed.

    Raises:
        ConfigError: the run was trained on a model object.
        NotFoundError: a plugin that it was trained with is absent; says which.
    """
    _check_rebuilt(config)
    with of_run(config):
        return _rebuilt(config)


def _rebuilt(config: dict[str, Any]) -> GenerativeModel:
    stated, training = config["model"], config.get("training", {})
    component = required("model", stated["id"], stated.get("plugin"))
    options = component.configure(stated.get("preset"), **stated.get("options", {}))
    spec = DataSpec.from_dict(config["data"]["spec"])
    with policy(training.get("precision", "float32")):
        parts = {name: part_model(part) for name, part in stated_parts(config).items()}
        built = instantiate(component, spec, options, stated.get("seed", 0), training.get("noise", "native"), parts)
        for slot, preparation in preparations(training).items():
            if preparation.kept:
                built.prepare(slot, preparation)
    return built


def part_model(part: Part, *, read: bool = False) -> GenerativeModel:
    """Build a model that another one is made of, frozen.

    Args:
        part: what it is.
        read: whether to read its weights from its run; else they wait for those of a checkpoint that holds them.

    Raises:
        ConfigError: its run is gone, or has other weights than it had.
        NotFoundError: its plugin is absent.
    """
    built = rebuild(dict(part.config))
    if read:
        arrays, manifest = load_latest(open_run(part.run))
        if manifest["state_sha256"] != part.sha256:
            raise ConfigError(
                f"The run {part.run!r} is at step {manifest['step']} and has other weights than at step {part.step}, "
                "which this training began with.",
                mend="Train a new run with another --out.",
            )
        restore_weights(built, arrays)
    built.trainable = False
    return built


def _check_rebuilt(config: dict[str, Any]) -> None:
    if config["model"].get("given"):
        raise ConfigError(
            f"This run was trained on a model object of class {config['model']['id']}.",
            mend="Build it again and pass it: genloom.load(run, model=model).",
        )


def trained_weights(run: Run) -> dict[str, Any]:
    """Return the weights that another training starts from, `model/<name>` → array, preparations merged into them."""
    with of_run(run.config):
        prepared = preparations(run.config.get("training", {}))
    if not any(each.kept for each in prepared.values()):
        return load_latest(run)[0]
    from keras import ops

    model = load(run, weights="trained")
    model.merge()
    own = {n: v for n, v in weights_by_name(model).items() if not n.startswith("model/preparations/")}
    return {name: ops.convert_to_numpy(variable.value) for name, variable in own.items()}
