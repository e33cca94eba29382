"""Inverse problems: what of a sample is known, and samples of what it may have been.

model = genloom.load("runs/digits")
found = solve(model, inpainting(picture, mask), n=16)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from genloom import Samples, backend, random
from genloom.errors import ConfigError
from genloom_diffusion.model import Diffusion
from genloom_diffusion.process import add_noise
from genloom_diffusion.samplers import prior
from genloom_diffusion.twisted import Measurement, posterior
from genloom_diffusion.walk import Walk

__all__ = [
    "Problem",
    "deblurring",
    "image_to_image",
    "inpainting",
    "linear",
    "outpainting",
    "solve",
    "super_resolution",
]

_AT_ONCE = 256  # particles in one call of the network


class Problem(NamedTuple):
    """A measurement y = f(x) + noise, in the units of the data."""

    forward: Callable[[Any], Any]
    """f, affine, of samples (n, *shape) as tensors to (n, *measured.shape)."""

    measured: Any
    """y, without the axis of samples."""

    noise: float = 0.0
    """Standard deviation of the noise, 0 for none."""


def linear(forward: Callable[[Any], Any], measured: Any, noise: float = 0.0) -> Problem:
    """Return the problem of any affine f.

    Args:
        forward: f, in `keras.ops`, of samples (n, *shape) in the data's units to (n, *measured.shape).
        measured: y, without the axis of samples.
        noise: standard deviation of the measurement's noise, in its own units.

    Raises:
        ConfigError: values or noise that are no finite numbers, or negative noise.
    """
    value = np.asarray(measured, "float32")
    if not np.isfinite(value).all():
        raise ConfigError("What is measured must be finite, got NaN or infinite values.", mend="Mask them out.")
    if not (math.isfinite(noise) and noise >= 0.0):
        raise ConfigError(f"noise is a standard deviation, 0 or more, got {noise}.", mend="Give noise=0 for none.")
    return Problem(forward, value, float(noise))


def inpainting(sample: Any, mask: Any, noise: float = 0.0) -> Problem:
    """Return the problem of a sample of which a part is known.

    Args:
        sample: (*shape); what lies outside the mask does not matter.
        mask: 1 or True where it is known, of a shape that broadcasts to the sample's, such as (height, width, 1).
        noise: standard deviation of what is known, in the data's units.

    Raises:
        ConfigError: a mask of another shape, of other values than 0 and 1, or with nothing known.
    """
    sample, mask = np.asarray(sample, "float32"), np.asarray(mask)
    try:
        known = np.broadcast_to(mask, sample.shape).astype("float32")
    except ValueError:
        raise ConfigError(
            f"A mask has the shape of the sample, {sample.shape}, got {mask.shape}.",
            mend="Give one number for each value, or 1 along an axis where all are alike.",
        ) from None
    if not np.isin(known, (0.0, 1.0)).all():
        raise ConfigError("A mask is 1 where a sample is known and 0 elsewhere, got other values.", mend="Round it.")
    if not known.any():
        raise ConfigError("The mask says that nothing is known.", mend="Draw with genloom.sample instead.")
    kept = ops.convert_to_tensor(known)
    return linear(lambda x: x * kept, np.where(known, sample, 0.0), noise)


def outpainting(part: Any, shape: tuple[int, ...], corner: tuple[int, ...], noise: float = 0.0) -> Problem:
    """Return the problem of a part of a sample, around which the rest is wanted.

    Args:
        part: (h, w, …), no larger than the sample along any axis.
        shape: of the sample.
        corner: where the first value of the part lies in it, one number per axis; axes left out begin at 0.
        noise: standard deviation of the part, in the data's units.

    Raises:
        ConfigError: a part that does not lie within the sample.
    """
    part = np.asarray(part, "float32")
    begin = (*corner, *(0,) * (len(shape) - len(corner)))
    ends = [first + length for first, length in zip(begin, part.shape, strict=False)]
    inside = len(part.shape) == len(shape) == len(begin) and min(begin) >= 0
    if not inside or any(end > most for end, most in zip(ends, shape, strict=True)):
        raise ConfigError(
            f"A part {part.shape} at {tuple(corner)} does not lie within a sample {tuple(shape)}.",
            mend="Give another corner, or a smaller part.",
        )
    place = tuple(slice(first, end) for first, end in zip(begin, ends, strict=True))
    sample, mask = np.zeros(shape, "float32"), np.zeros(shape, "float32")
    sample[place], mask[place] = part, 1.0
    return inpainting(sample, mask, noise)


def super_resolution(small: Any, factor: int, noise: float = 0.0) -> Problem:
    """Return the problem of an image whose squares of pixels are known by their means.

    Args:
        small: (height / factor, width / factor, channels).
        factor: side of the squares.
        noise: standard deviation of the means, in the data's units.

    Raises:
        ConfigError: no image, or a factor below 2.
    """
    small = np.asarray(small, "float32")
    if small.ndim != 3 or factor < 2:
        raise ConfigError(
            f"Super-resolution takes an image (height, width, channels) and a factor of at least 2, got {small.shape} "
            f"and {factor}.",
            mend="Use linear() for other data.",
        )
    rows, columns, channels = small.shape

    def forward(x: Any) -> Any:
        return ops.mean(ops.reshape(x, (-1, rows, factor, columns, factor, channels)), axis=(2, 4))

    return linear(forward, small, noise)


def deblurring(blurred: Any, kernel: Any, noise: float = 0.01) -> Problem:
    """Return the problem of an image that was blurred; beyond its borders it is taken for 0.

    Args:
        blurred: (height, width, channels).
        kernel: (k, l) weights, the same for each channel; both sides odd.
        noise: standard deviation of the blurred image, in the data's units: without any, rounding is magnified.

    Raises:
        ConfigError: no image, or a kernel without a middle.
    """
    blurred, kernel = np.asarray(blurred, "float32"), np.asarray(kernel, "float32")
    if blurred.ndim != 3 or kernel.ndim != 2 or not all(side % 2 for side in kernel.shape):
        raise ConfigError(
            f"Deblurring takes an image (height, width, channels) and a kernel of odd sides, got {blurred.shape} and "
            f"{kernel.shape}.",
            mend="Use linear() for other data.",
        )
    height, width, _ = blurred.shape
    up, left = (side // 2 for side in kernel.shape)

    def forward(x: Any) -> Any:
        wide = ops.pad(x, ((0, 0), (up, up), (left, left), (0, 0)))
        return sum(
            float(weight) * wide[:, i : i + height, j : j + width]
            for (i, j), weight in np.ndenumerate(kernel)
            if weight
        )

    return linear(forward, blurred, noise)


def solve(
    model: Diffusion,
    problem: Problem,
    n: int = 1,
    seed: int = 0,
    label: Any = None,
    *,
    steps: int = 100,
    particles: int = 8,
    guidance: float | None = None,
) -> Samples:
    """Draw samples of the posterior: of what the model has learnt, given what was measured.

    Args:
        model: a diffusion model, such as `genloom.load` returns.
        problem: what is known.
        n: number of samples.
        seed: fixes every sample.
        label: a class's number or name, or one number for each sample; None for samples of any class.
        steps: noise levels at which the network is called, three times each.
        particles: how many compete for one sample: more follow the posterior more closely, and cost as much more.
        guidance: by labels, as for `genloom.sample`.

    Raises:
        ConfigError: numbers out of range, or a problem that does not fit the model's data.
    """
    _check_numbers(n=n, steps=steps, particles=particles)
    chosen = model._chosen(steps=steps, guidance=guidance)
    measured = _scaled(model, problem)
    labels = _labels(model, label, n)
    denoise = model.guided_denoiser(chosen, bool(labels))
    walk = Walk(model.process, steps, "log_snr")

    def run(keys: Any, condition: dict[str, Any]) -> Any:
        held = model._held(keys, condition)
        x = posterior(denoise, walk, keys, held, model.spec.shape, measured, particles)
        return model.denormalised(x * model.options.data_deviation)

    return _drawn(model, run, n, seed, labels, max(1, _AT_ONCE // particles), 3 * steps * particles)


def image_to_image(
    model: Diffusion,
    images: Any,
    strength: float = 0.6,
    seed: int = 0,
    label: Any = None,
    **options: Any,
) -> Samples:
    """Draw samples that begin at noised images instead of noise (Meng et al. 2022, algorithm 1).

    Args:
        model: a diffusion model, such as `genloom.load` returns.
        images: (n, *shape), in the data's units.
        strength: where along the process to begin, in (0, 1]: near 0 images stay what they are, at 1 little is left.
        seed: fixes every sample.
        label: a class's number or name, or one number for each sample; None for samples of any class.
        **options: sampling options, as for `genloom.sample`.

    Raises:
        ConfigError: images of another shape, a strength out of range, or sampling options that do not fit.
    """
    images = np.asarray(images, "float32")
    if images.ndim == 0 or images.shape[1:] != model.spec.shape or not len(images):
        raise ConfigError(
            f"Images must be (n, {', '.join(map(str, model.spec.shape))}), got {images.shape}.",
            mend="Put an axis before one image alone: image[None].",
        )
    if not 0.0 < strength <= 1.0:
        raise ConfigError(f"strength lies in (0, 1], got {strength}.", mend="Give strength=0.6, or another.")
    chosen = model._chosen(**options)
    if chosen.sampler == "mean":
        raise ConfigError("sampler=mean begins at noise.", mend="Use sampler=euler, or another.")
    labels = _labels(model, label, len(images))

    def run(keys: Any, given: dict[str, Any]) -> Any:
        x = model.scaled({"x": given["image"]})
        t = model.process.time(ops.zeros((keys.shape[0],)) + strength)
        noise = prior(model.process, keys, model.spec.shape) / model.process.prior_deviation
        condition = {name: value for name, value in given.items() if name != "image"}
        x = model._walked(add_noise(model.process, x, noise, t), keys, condition, chosen, start=strength)
        return model.denormalised(x * model.options.data_deviation)

    calls = model.evaluations(**options)
    return _drawn(model, run, len(images), seed, {**labels, "image": images}, _AT_ONCE, calls)


def _labels(model: Diffusion, label: Any, n: int) -> dict[str, Any]:
    """Return the condition of n samples of a class, or of one class each."""
    if label is None:
        return {}
    if not model.takes_labels:
        raise ConfigError(f"label={label} was given, but the model has learnt no labels.", mend="Leave it out.")
    names, classes = model.spec.class_names, model.spec.classes
    labels = np.asarray(names.index(label) if isinstance(label, str) and label in names else label)
    whole = labels.dtype.kind in "iu" and labels.shape in ((), (n,))
    if not whole or labels.min() < 0 or labels.max() >= classes:
        known = f"0 to {classes - 1}{''.join(f', {name}' for name in names)}"
        raise ConfigError(f"label={label} is no class, or not one for each of {n} samples.", mend=f"Classes: {known}.")
    return {"label": np.broadcast_to(labels, (n,)).astype("int32")}


def _check_numbers(**values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} is a whole number of at least 1, got {value!r}.", mend=f"Give {name}=8.")


def _scaled(model: Diffusion, problem: Problem) -> Measurement:
    """Return the measurement of samples as the model noises them; refuse one of other data."""

    def forward(x: Any) -> Any:
        return problem.forward(model.spec.denormalise(x * model.options.data_deviation))

    shape = model.spec.shape
    try:
        found = tuple(forward(ops.zeros((1, *shape))).shape[1:])
    except Exception as error:
        raise ConfigError(
            f"The problem cannot be asked of samples {shape}: {error}", mend="Measure samples of the model's data."
        ) from error
    if found != problem.measured.shape:
        raise ConfigError(
            f"The problem makes measurements {found} of samples {shape}, got {problem.measured.shape}.",
            mend="Measure samples of the model's data.",
        )
    return Measurement(forward, ops.convert_to_tensor(problem.measured)[None], problem.noise)


def _drawn(
    model: Diffusion, run: Callable[..., Any], n: int, seed: int, given: Mapping[str, Any], size: int, calls: int
) -> Samples:
    """Return samples of `run(keys, given)`, compiled for `size` of them at once."""
    size, parts = min(size, n), []
    draw = backend.compiled(run, model)
    model.sync_state()
    with model.averaged_weights():
        for start in range(0, n, size):
            rows = np.minimum(np.arange(start, start + size), n - 1)
            part = draw(random.keys(seed, size, start), {name: value[rows] for name, value in given.items()})
            parts.append(ops.convert_to_numpy(part)[: n - start])
    numbers = np.stack([np.full(n, seed, np.int64), np.arange(n)], axis=1)
    return Samples(np.concatenate(parts), model.spec, given.get("label"), numbers, calls, step=model.loaded_step)
