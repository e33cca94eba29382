"""Tiny first-party models, their batches, gradients, first losses and samples, for the tests beside.

Run as a script it writes the reference arrays, on JAX, from the root of the repository: of every model, or of those
that are named, beside what is stored of the others.

    KERAS_BACKEND=jax python tests/cross_backend/first_party.py [ID…]
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

REFERENCE = Path(__file__).parent / "reference" / "first_party.npz"
TRAINED = REFERENCE.with_name("trained.npz")
PLUGINS = {path.parent.name for path in Path(__file__).parents[2].glob("plugins/*/pyproject.toml")}
LEVELS = "diffusion/levels"  # the one model that draws no amounts, but one of a few shades
STEPS = 100
KEPT = 256  # numbers kept of a phase's gradient

UNET = {"channels": (8,), "blocks": 1, "patch": 2, "embedding": 8, "heads": 1, "learning_rate": 2e-4}
CODE_PRIOR = {"prior_layers": 1, "prior_heads": 2, "prior_width": 16}
SMALL: dict[str, dict[str, Any]] = {
    "vae/mlp": {"latent": 3, "hidden": (12,), "components": 2},
    "vae/conv": {"latent": 3, "hidden": (12,), "channels": (4, 6), "components": 2},
    "vae/iwae": {"latent": 3, "hidden": (12,), "components": 2, "draws": 3},
    "vae/wae": {"latent": 3, "hidden": (12,)},
    "vae/rae": {"latent": 3, "hidden": (12,), "components": 2},
    "vae/hierarchical": {"latents": (3, 2), "hidden": (12, 8)},
    "vae/fsq": {"channels": (6,), "levels": (3, 3), **CODE_PRIOR},
    "vae/vq": {"channels": (6,), "codes": 12, "width": 4, **CODE_PRIOR},
    "vae/autoencoder": {
        "latent": 2,
        "channels": (6,),
        "critic_channels": (6,),
        "critic_start": 0,
        "balance": False,
        "learning_rate": 2e-4,
    },
    "gan/mlp": {"latent": 4, "hidden": (12, 12)},
    "gan/dcgan": {"latent": 4, "channels": (4, 6)},
    "gan/wgan-gp": {"latent": 4, "channels": (4, 6), "n_critic": 2},
    **{
        f"diffusion/{name}": {"layers": 2, "heads": 2, "width": 16, "learning_rate": 2e-4}
        for name in ("masked", "levels")
    },
    **{f"diffusion/{name}": UNET for name in ("ddpm", "edm", "flow", "meanflow", "consistency")},
    "diffusion/dit": {"width": 16, "depth": 2, "heads": 2},
    "language/transformer": {"layers": 2, "heads": 2, "width": 16},
}

# Models small enough to keep their weights, large enough to draw digits; sampling keeps every default.
LEARNT: dict[str, dict[str, Any]] = {
    "vae/mlp": {"latent": 8, "hidden": (64,), "components": 10},
    "vae/conv": {"latent": 8, "hidden": (32,), "channels": (8, 16), "components": 10},
    **{f"vae/{name}": {"latent": 8, "hidden": (64,), "learning_rate": 2e-3} for name in ("iwae", "wae", "rae")},
    "gan/mlp": {"latent": 16, "hidden": (64, 64)},
    "gan/dcgan": {"latent": 16, "channels": (12, 16)},
    "gan/wgan-gp": {"latent": 16, "channels": (12, 16), "n_critic": 2},
    "diffusion/ddpm": {"channels": (24,), "blocks": 1, "patch": 2, "embedding": 32, "heads": 2},
    "diffusion/consistency": {"channels": (16,), "blocks": 1, "patch": 2, "embedding": 32, "heads": 2, "ramp": 300},
    **{f"diffusion/{name}": {**UNET, "learning_rate": 1e-3} for name in ("edm", "flow", "meanflow")},
    "diffusion/dit": {"width": 32, "depth": 2, "heads": 2, "learning_rate": 3e-3},
}
DRAWN, LEARNING_STEPS = 64, 600


def model_ids() -> list[str]:
    """Every model that the plugins of this repository register and that stands alone."""
    return sorted(component.id for component in _models())


def picture_ids() -> list[str]:
    """Those whose trained weights are kept: samples of the others are discrete, or as those of one of these."""
    return sorted(LEARNT)


def _models() -> list[Any]:
    """Return those built from options alone; what is made of other runs' models, its plugin's tests compare."""
    from genloom.options import runs_named_by
    from genloom.plugins.registry import components

    own = [component for component in components("model") if component.id.partition("/")[0] in PLUGINS]
    return [component for component in own if not runs_named_by(component.options)]


def build(id: str, **options: Any) -> Any:
    """A small model of three classes of 8×8 pictures or of texts, with portable noise."""
    from genloom import DataSpec, create
    from genloom.plugins.registry import find

    preset = None if id in SMALL or "tiny" not in find("model", id).presets else "tiny"
    texts = DataSpec((12,), kind="text", dtype="int32", value_range=None, vocabulary=11)
    pictures = DataSpec((8, 8, 1), classes=3, levels=5 if id == LEVELS else 0)
    spec = pictures if "image" in find("model", id).accepts else texts
    return create(id, spec, preset=preset, seed=5, noise="portable", **{**SMALL.get(id, {}), **options})


def batch_of(model: Any, step: int = 0, size: int = 8) -> dict[str, np.ndarray]:
    """A batch of smooth pictures, or of counting texts, that depends on `step` only, with rows for every repeat."""
    n = size * max(phase.repeats for phase in model.phases())
    rng = np.random.RandomState(step)
    if model.spec.kind == "text":
        first, stride = rng.randint(0, 11, (n, 1)), rng.randint(1, 4, (n, 1))
        return {"x": ((first + stride * np.arange(12)) % 11).astype("int32")}
    label = rng.randint(0, 3, n)
    centre = rng.uniform(1, 6, (n, 2, 1, 1)) + label[:, None, None, None] * 0.3
    rows, columns = np.mgrid[0:8, 0:8]
    x = np.exp(-((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2) / 4)[..., None]
    return {"x": x.astype("float32"), "label": label.astype("int32")}


def phase_loss(model: Any, phase: Any, batch: dict[str, Any], stream: Any) -> Any:
    """A function without arguments, as `value_and_grad` takes it: the phase's loss on the first repeat's slice."""
    part = slice_of(model, batch)

    def loss() -> tuple[Any, Any]:
        from genloom import random

        stream.draws = 0
        with random.training_noise(stream):
            return phase.loss(part)[0], ()

    return loss


def slice_of(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """The rows that the first repeat of a phase sees."""
    size = batch["x"].shape[0] // max(phase.repeats for phase in model.phases())
    return {name: value[:size] for name, value in batch.items()}


def tensors(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    from keras import ops

    return {name: ops.convert_to_tensor(value) for name, value in batch.items()}


def gradients(model: Any) -> dict[str, np.ndarray]:
    """The flat gradient (float64) of each phase's loss at the initial weights."""
    import keras
    from keras import ops

    from genloom import backend, random

    found = {}
    for phase in model.phases():

        def slopes(batch: dict[str, Any], phase: Any = phase) -> list[Any]:
            stream = random.NoiseStream(model.seed, model.step.value, "portable")
            with keras.StatelessScope([(v, v.value) for v in model.variables]):  # what the loss writes is dropped
                return backend.value_and_grad(phase_loss(model, phase, batch, stream), phase.resolve())[1]

        parts = backend.compiled(slopes, model)(tensors(batch_of(model)))
        flat = [np.asarray(ops.convert_to_numpy(part), np.float64).ravel() for part in parts]
        found[phase.name] = np.concatenate(flat)
    return found


def sketch(gradient: np.ndarray, name: str) -> np.ndarray:
    """KEPT random sums (count sketch, Charikar et al. 2002) that keep the length of any vector in expectation."""
    rng = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
    bucket, sign = rng.randint(0, KEPT, len(gradient)), rng.choice([-1.0, 1.0], len(gradient))
    return np.bincount(bucket, sign * gradient, KEPT)


def first_losses(model: Any) -> np.ndarray:
    """Losses (STEPS, phases) of the first steps of training under `fit`."""
    import keras

    class Steps(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.rows: list[list[float]] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.rows.append([float(value) for name, value in sorted(logs.items()) if name.endswith("loss")])

    steps = Steps()
    stream = ((batch_of(model, step),) for step in range(STEPS + 8))
    model.fit(stream, steps_per_epoch=STEPS, callbacks=[steps], verbose=0, shuffle=False)
    count = np.arange(1, STEPS + 1)[:, None]
    means = np.array(steps.rows)  # Keras logs running means; their differences are the steps' own losses.
    return np.diff(means * count, axis=0, prepend=np.zeros((1, means.shape[1])))


def untrained(id: str) -> Any:
    """A new model of the embedded digits, of the size whose trained weights are kept."""
    from genloom import create, data

    return create(id, data.open("digits").spec, seed=3, **LEARNT[id])


def trained(id: str) -> dict[str, np.ndarray]:
    """Weights of a model trained on the embedded digits, and the samples it draws here."""
    from keras import ops

    from genloom import data
    from genloom.model.state import weights_by_name
    from genloom.sampling.drawing import draw_samples

    model = untrained(id)
    rows = 64 * max(phase.repeats for phase in model.phases())
    batches = data.Loader(data.open("digits").train, batch_size=rows, seed=0).stream()
    model.fit(batches, steps_per_epoch=LEARNING_STEPS, epochs=1, shuffle=False, verbose=0)
    weights = {name: np.asarray(ops.convert_to_numpy(v.value)) for name, v in weights_by_name(model).items()}
    return {**weights, "samples": draw_samples(model, DRAWN, seed=7).samples}


def written(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Put arrays into a file, beside those of other names that it has."""
    kept: dict[str, np.ndarray] = {}
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            kept = {name: stored[name] for name in stored.files}
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **{**kept, **arrays})


def main(ids: list[str]) -> None:
    """Write the reference arrays of these models, and weights and samples of those of pictures among them."""
    for id in ids:
        if id in picture_ids():
            written(TRAINED, {f"{id}:{name}": array for name, array in trained(id).items()})
        model = build(id)
        arrays = {f"{id}/gradient/{phase}": sketch(g, f"{id}/{phase}") for phase, g in gradients(model).items()}
        written(REFERENCE, {**arrays, f"{id}/losses": first_losses(model).astype("float32")})


if __name__ == "__main__":
    main(sys.argv[1:] or model_ids())
