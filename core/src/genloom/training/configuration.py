"""Resolve what a training is asked for, write it to run.toml, and hold a resumed run to what it was."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from genloom.arguments import instance, seed_number
from genloom.data.agreement import check_units, tell_classes, tell_units
from genloom.data.fitting import check_split
from genloom.data.opening import Data
from genloom.data.opening import open as open_data
from genloom.data.spec import DataSpec
from genloom.data.standardising import in_units_of
from genloom.errors import ConfigError
from genloom.messages import tell
from genloom.model.precision import policy
from genloom.model.preparation import Start
from genloom.model.state import restore_weights
from genloom.opening.building import check_kind, checked_model, instantiate
from genloom.opening.load import trained_weights
from genloom.opening.parts import found_parts, models_of
from genloom.opening.preparing import preparations
from genloom.options import configure, describe
from genloom.plugins.offers import Component
from genloom.plugins.registry import find, owner
from genloom.postprocess import chain
from genloom.runs import Run, open_run
from genloom.runs.parts import Part, stated_parts
from genloom.training.beginning import changes, fitting, inherited, plain_options
from genloom.training.request import Request
from genloom.training.settings import TrainingSettings, of_one_length, typed
from genloom.training.stored import stored_config

if TYPE_CHECKING:
    from genloom.data.dataset import Dataset
    from genloom.model import GenerativeModel

__all__ = ["Job", "circumstances", "free_path", "resolve", "versions"]

_SETTINGS = {field.name for field in dataclasses.fields(TrainingSettings)}


@dataclasses.dataclass(frozen=True)
class Job:
    """A resolved training.

    Attributes:
        component: the model's component, None when a model object was given.
        given: the model object, or None.
        preset: name of the preset, or None.
        options: the model's checked options, None when it takes none.
        dataset: opened data.
        settings: how to train.
        seed: of weights, order and noise.
        init_from: path of a run whose weights to start from, or None.
        changed: what is other than in that run, as "process cosine → exploding".
        parts: trained models of other runs that the model is made of, by the options that name them.
    """

    component: Component | None
    given: GenerativeModel | None
    preset: str | None
    options: Any
    dataset: Dataset
    settings: TrainingSettings
    seed: int
    init_from: str | None
    changed: Sequence[str] = ()
    parts: Mapping[str, Part] = dataclasses.field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """The component's id, or the class of a given model."""
        return self.component.id if self.component is not None else type(self.given).__name__

    def build(self, *, read_parts: bool) -> GenerativeModel:
        """Build the model, or return the given one; the weights of its parts are read, or those read next hold them."""
        if self.component is None:
            return cast("GenerativeModel", self.given)
        with policy(self.settings.precision):
            parts, noise = models_of(self.parts, read=read_parts), self.settings.noise
            return instantiate(self.component, self.dataset.spec, self.options, self.seed, noise, parts)

    def start(self, *, resumed: bool = False, measured: bool = True) -> GenerativeModel:
        """Build the model as its training begins: with the weights of `init_from`, and prepared.

        Args:
            resumed: whether a checkpoint of the run itself is read into it next; then preparations see the weights of
                `init_from` where that run is still there.
            measured: False leaves out what a preparation measures, for a training that is only described.

        Raises:
            ConfigError: `init_from` is no run, or a preparation does not apply.
            DataError: a preparation needs earlier training data, and there are none.
            RunError: its weights do not fit; says with which options they would.
        """
        asked = preparations(dataclasses.asdict(self.settings))
        read = self.init_from is not None and (not resumed or (bool(asked) and Run(self.init_from).exists))
        model = self._begun(read, resumed)
        run = None if self.init_from is None else Run(self.init_from)
        again = None if self.component is None else lambda: self._begun(read, resumed)
        start = Start(self.seed, run, again, measured and not resumed)
        for slot, preparation in asked.items():
            model.prepare(slot, preparation, start)
        return model

    def _begun(self, read: bool, resumed: bool) -> GenerativeModel:
        """Build the model, with the weights of the run that the training starts from where those are read."""
        model = self.build(read_parts=not (read or resumed))
        if self.init_from is not None and read:
            run = Run(self.init_from)
            weights = trained_weights(run)
            with fitting(run, model.options):
                restore_weights(model, weights)
        return model

    def document(self, steps_per_epoch: int) -> dict[str, Any]:
        """Return what run.toml holds."""
        settings = dataclasses.asdict(self.settings)
        settings.pop("epochs" if self.settings.steps is not None else "steps")
        seed = self.seed if self.given is None else self.given.seed
        training = {**settings, "seed": self.seed, "steps_per_epoch": steps_per_epoch, "init_from": self.init_from}
        training |= {"init_changed": [*self.changed]} if self.changed else {}
        model = {"id": self.model_id, "preset": self.preset, "seed": seed, "options": plain_options(self.options)}
        model |= {} if self.component is None else {"plugin": owner(self.component).source}
        model |= {"parts": {name: part.document() for name, part in self.parts.items()}} if self.parts else {}
        data = {
            "address": self.dataset.address,
            "fingerprint": self.dataset.fingerprint,
            "spec": self.dataset.spec.to_dict(),
        }
        return {
            "model": model | ({"given": True} if self.given is not None else {}),
            "data": data,
            "training": training | {"backend": versions()["backend"]},
            "versions": versions(),
        }


def resolve(request: Request, stored: Mapping[str, Any] | None = None) -> Job:
    """Check everything that was asked for.

    Args:
        request: what the caller gave.
        stored: run.toml of the run to resume, None for a new one.

    Raises:
        ConfigError: anything unknown, out of range or contradictory; data in other units than those of `init_from`.
        DataError: samples that are not what the spec says.
        NotFoundError: no such model or data source.
    """
    asked, seed = _checked(request)
    begun = stored or {}
    start = _start(request.init_from, begun)
    before = None if start is None or begun else Run(start)
    dataset = _in_units(open_data(_data(request.data, stored)), begun.get("data", {}).get("spec"), before)
    component = _component(request, dataset)
    _check_samples(request.model, dataset)
    _check_place(component, request.options or {}, asked)
    preset = begun.get("model", {}).get("preset") if request.preset is None else request.preset
    settings = _settings(component, preset, begun.get("training"), asked)
    chain(settings.post).check(dataset.spec)
    _check_preparations(settings, started=start is not None)
    known = begun or ({} if before is None or preset is not None else stored_config(before))
    options = _options(request, component, preset, known)
    given = None if isinstance(request.model, str) else request.model
    parts = _parts(component, options, dataset.spec, begun if before is None else before.config)
    job = Job(component, given, preset, options, dataset, settings, seed, start, parts=parts)
    known_changes = begun.get("training", {}).get("init_changed", ())
    return dataclasses.replace(job, changed=known_changes if before is None else changes(before, job.model_id, options))


def _checked(request: Request) -> tuple[dict[str, Any], int]:
    """Return the settings that are given, and the seed, once all is refused that is wrong whatever the data are."""
    asked = {name: value for name, value in request.asked.items() if value is not None}
    if not isinstance(request.model, str):
        _check_given(request.model)
    seed = seed_number(request.seed)
    instance("options", request.options, (Mapping, type(None)), "a dict of the model's options by name")
    of_one_length([asked])
    return asked, seed


def _data(given: Data | None, stored: Mapping[str, Any] | None) -> Data:
    """Return the data that are given, or those of the run to resume.

    Raises:
        ConfigError: neither names any.
    """
    if given is None and stored is None:
        raise ConfigError("No data are given.", mend="Name some: data='digits', an open data set, or (x, label).")
    return cast("Data", stored["data"]["address"] if given is None and stored else given)


def _component(request: Request, dataset: Dataset) -> Component | None:
    """Return the component that a model is named by, None for a model object."""
    if not isinstance(request.model, str):
        if request.options or request.preset:
            raise ConfigError("A model object has its options already.", mend="Leave out options and preset.")
        _say_units(request.model, dataset.spec)
        return None
    component = find("model", request.model)
    check_kind(component, dataset.spec)
    return component


def _settings(
    component: Component | None, preset: str | None, stored: Mapping[str, Any] | None, asked: Mapping[str, Any]
) -> TrainingSettings:
    """Return the settings: those that are asked for, else those of the run to resume, else what is recommended."""
    kept = {name: value for name, value in (stored or {}).items() if name in _SETTINGS}
    # Patience counts epochs: what it watches is measured in each, whatever a preset recommends.
    each_epoch = {"validate_every": 1} if "patience" in asked and stored is None else {}
    layers = [*(component.recommended(preset) if component else ()), each_epoch, kept, asked]
    return configure(TrainingSettings, *of_one_length(layers))


def _options(request: Request, component: Component | None, preset: str | None, known: Mapping[str, Any]) -> Any:
    """Return the model's options: those that are asked for above those of the run that is gone on with or from."""
    if component is None:
        return cast("GenerativeModel", request.model).options
    kept = inherited(known, component) if known else {}
    return component.configure(preset, **{**kept, **(request.options or {})})


def _parts(component: Component | None, options: Any, spec: DataSpec, known: Mapping[str, Any]) -> dict[str, Part]:
    """Return the models that a model is made of: those of the run that is gone on with or from where it has the same.

    A run holds the weights of its parts, so theirs need not be there any more.
    """
    if component is None:
        return {}
    was = known.get("model", {}).get("options", {})
    kept = {name: part for name, part in stated_parts(known).items() if getattr(options, name, None) == was.get(name)}
    return found_parts(component, options, spec, known=kept)


def _check_given(model: Any) -> None:
    """Raise ConfigError for what is no model, PluginError for one that leaves out what every model has."""
    from genloom.model import GenerativeModel
    from genloom.model.promises import check_methods

    checked_model(model, "a model's id, such as 'vae/conv', or a GenerativeModel")
    check_methods(type(model), GenerativeModel)


def _start(asked: str | Path | None, stored: Mapping[str, Any]) -> str | None:
    """Return the path of the run whose weights to start from: the one asked for, else the one that is stored.

    Raises:
        ConfigError: what is asked for is no run.
    """
    before = stored.get("training", {}).get("init_from")
    if asked is None:
        return before
    path = open_run(asked).path
    return before if before is not None and Path(before).resolve() == path.resolve() else str(path)


def _in_units(dataset: Dataset, spec: Mapping[str, Any] | None, before: Run | None) -> Dataset:
    """Return the data in the units that the weights to go on with were trained in."""
    if spec is None and before is not None:
        spec = before.config["data"]["spec"]
        _compare(dataset, DataSpec.from_dict(spec), before)
    return dataset if spec is None else in_units_of(dataset, DataSpec.from_dict(spec))


def _compare(dataset: Dataset, kept: DataSpec, before: Run) -> None:
    """Refuse new data in other units than those of the run to start from; say smaller differences, and classes'."""
    beside = dataset.address, dataset.spec, kept, repr(str(before.path))
    check_units(*beside)
    tell_units(*beside)
    tell_classes(*beside)


def _check_samples(model: str | GenerativeModel, dataset: Dataset) -> None:
    """Refuse samples, held-out ones too, that are not what the model's spec says, or their own."""
    spec, labelled = (dataset.spec, False) if isinstance(model, str) else (model.spec, model.takes_labels)
    check_split(dataset.train, spec, dataset.address, labelled=labelled)
    check_split(dataset.test, spec, f"{dataset.address}, held out", labelled=labelled)


def _say_units(model: GenerativeModel, spec: DataSpec) -> None:
    """Say that a caller's own model sees unbounded data as they are, where its spec was made without their scale."""
    if spec.scale and model.spec.value_range is None and not model.spec.scale:
        tell("the model's spec has no mean and scale, so data are not scaled: use that of genloom.data.open(x).")


def _check_place(component: Component | None, options: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse a setting of the training among the options of the model, and the other way round."""
    known = {row["name"] for row in describe(component.options)} if component and component.options else set()
    for name in options:
        if name in _SETTINGS - known:
            raise ConfigError(
                f"{component.id if component else 'The model'} has no option {name!r}.",
                mend=f"It is a setting of the training: {typed(name)}=VALUE.",
            )
    for name in asked:
        if name in known - _SETTINGS:
            raise ConfigError(
                f"The training has no setting {name!r}.",
                mend=f"It is an option of the model: options={{{name!r}: {asked[name]!r}}} (--set {name}=VALUE).",
            )


def _check_preparations(settings: TrainingSettings, started: bool) -> None:
    """Refuse preparations that do not go together, or that need a run to start from where there is none."""
    asked = preparations(dataclasses.asdict(settings))
    if "adapt" in asked and any(each.holds_weights for each in asked.values()):
        raise ConfigError(f"retain={settings.retain} has no effect: adapt freezes the weights.", mend="Give one.")
    for name in ("adapt", "retain"):
        if name in asked and not started:
            raise ConfigError(f"{name} needs trained weights to start from.", mend="Give a run: --init-from RUN.")


def versions() -> dict[str, Any]:
    """Return the versions that a run depends on."""
    import keras

    from genloom import backend
    from genloom.plugins.discovery import plugins
    from genloom.version import version

    loaded = {status.distribution: status.version for status in plugins() if status.status == "ok"}
    return {
        "genloom": version(),
        "keras": keras.__version__,
        "python": platform.python_version(),
        "backend": backend.name(),
        "engine": backend.version(),
        "plugins": loaded,
    }


def circumstances(job: Job, total_steps: int) -> dict[str, Any]:
    """Return what may change when a run is resumed, as a stretch of its history states it."""
    return {
        "steps": total_steps,
        "data": job.dataset.address,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        **versions(),
    }


def free_path(job: Job) -> Path:
    """Return a folder under `runs` that is not there yet, named after family, model, data and seed."""
    name = f"{job.model_id.replace('/', '-')}-{job.dataset.address.partition(':')[0]}-seed{job.seed}"
    path, number = Path("runs") / name, 2
    while path.exists():
        path, number = Path("runs") / f"{name}-{number}", number + 1
    return path
