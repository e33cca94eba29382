"""`genloom restore RUN`: a sample of which a part is known, in, and what the rest may have been, out."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import click

from genloom import engine
from genloom.cli import offers
from genloom.cli.flags import COUNT, SAMPLES, STEPS, Number, Whole, backend, json_flag, run_argument, seed_flag
from genloom.cli.output import note, print_json, say
from genloom.errors import ConfigError
from genloom.options import LARGEST

if TYPE_CHECKING:
    import numpy as np

    from genloom import DataSpec, Run, Samples

    Array = np.ndarray[Any, Any]

__all__ = ["mask_of", "restore"]

HALVES = ("top", "bottom", "left", "right")


@click.command()
@run_argument
@click.option("--known", metavar="HALF|FILE", help="top, bottom, left, right, or a mask: a picture, white where known.")
@click.option("--factor", type=Whole(2, 64), help="Known are the means of squares of this side.")
@click.option("--strength", type=Number(0, 1), help="Begin at the sample with this share of the noise, 1 all of it.")
@click.option("--noise", type=Number(0, LARGEST), default=0.0, help="Deviation of what is known, in the data's units.")
@click.option(
    "--data",
    metavar="SRC",
    help="Where the sample comes from; the run's own data by default.",
    shell_complete=offers.data,
)
@click.option("--row", type=Whole(0, 2**31), default=0, show_default=True, help="Which held-out sample.")
@click.option("-n", "n", type=SAMPLES, default=16, show_default=True, help="Number of answers.")
@click.option("--label", metavar="K", help="Class to draw, by name or number.")
@click.option("--steps", type=STEPS, help="Network calls on a particle's way; 100, or the model's own with --strength.")
@click.option("--particles", type=COUNT, default=8, show_default=True, help="How many compete for one sample.")
@seed_flag("Seed of the samples.")
@click.option("--out", type=click.Path(), default="restored.png", show_default=True, metavar="FILE", help="Their file.")
@backend
@json_flag
def restore(run: str, out: str, as_json: bool, **asked: Any) -> None:
    """Draw what a sample may have been of which RUN's model is told a part: inpainting, super-resolution, variations.

    The sample is a held-out one of the data. Of data without a test part, such as one folder of your own pictures, it
    is a training one.
    """
    from genloom.modalities.writing import check_ending, write
    from genloom.runs import open_run

    chosen = [name for name in ("known", "factor", "strength") if asked[name] is not None]
    if len(chosen) != 1:
        raise ConfigError(
            f"Say what is known in one way, got {' and '.join(f'--{name}' for name in chosen) or 'none'}.",
            mend="Give --known top, --factor 2 or --strength 0.5.",
        )
    check_ending(out)
    engine.choose(asked["backend"])
    found = _restored(open_run(run), asked)
    path = write(found, out)
    if as_json:
        print_json(run=run, out=path, n=len(found), seed=asked["seed"], row=asked["row"], calls=found.evaluations)
    else:
        note(f"{len(found)} samples in {found.evaluations} network calls each.")
        say(path)


def _restored(run: Run, asked: dict[str, Any]) -> Samples:
    import genloom
    from genloom_diffusion import inverse
    from genloom_diffusion.model import Diffusion

    model = genloom.load(run)
    if not isinstance(model, Diffusion):
        raise ConfigError(f"{str(run.path)!r} holds no diffusion model of values.", mend="Train diffusion/flow.")
    sample = _sample(run, model.spec, asked["data"], asked["row"])
    label = int(asked["label"]) if (asked["label"] or "").isdecimal() else asked["label"]
    common = {"seed": asked["seed"], "label": label, **({"steps": asked["steps"]} if asked["steps"] else {})}
    if asked["strength"] is not None:
        return inverse.image_to_image(model, sample[None].repeat(asked["n"], 0), asked["strength"], **common)
    if asked["factor"] is not None:
        problem = inverse.super_resolution(_shrunk(sample, asked["factor"]), asked["factor"], asked["noise"])
    else:
        problem = inverse.inpainting(sample, mask_of(asked["known"], model.spec), asked["noise"])
    return inverse.solve(model, problem, asked["n"], particles=asked["particles"], **common)


def _sample(run: Run, spec: DataSpec, data: str | None, row: int) -> Array:
    """Return one sample (*shape) of data that the model knows."""
    import genloom.data
    from genloom.plugins.registry import of_run

    with of_run({} if data else run.config):
        dataset = genloom.data.open(data or run.address)
    if dataset.spec.shape != spec.shape:
        raise ConfigError(
            f"Samples of {dataset.address} are {dataset.spec.shape}, the run's are {spec.shape}.",
            mend="Name data of the run's shape, such as images:DIR?size=32.",
        )
    split = dataset.test if len(dataset.test) else dataset.train
    if row >= len(split):
        raise ConfigError(f"--row {row} is not one of {len(split)} samples.", mend=f"Give 0 to {len(split) - 1}.")
    sample: Array = split.take([row])["x"][0]
    return sample


def _shrunk(sample: Array, factor: int) -> Array:
    """Return the means of squares of an image (height, width, channels)."""
    if sample.ndim != 3 or any(side % factor for side in sample.shape[:2]):
        raise ConfigError(
            f"--factor {factor} does not divide samples of shape {sample.shape} into squares.",
            mend="Give another factor, or --known or --strength.",
        )
    rows, columns = (side // factor for side in sample.shape[:2])
    means: Array = sample.reshape(rows, factor, columns, factor, -1).mean((1, 3))
    return means


def mask_of(known: str, spec: DataSpec) -> Array:
    """Return 1 where a sample is known, broadcastable to its shape."""
    import numpy as np

    axis = 1 if known in ("left", "right") else 0
    if known not in HALVES:
        return _drawn_mask(known, spec)
    if len(spec.shape) <= axis:
        raise ConfigError(f"Samples of shape {spec.shape} have no {known}.", mend="Give --known top: the first half.")
    mask = np.zeros(spec.shape, "float32")
    half = spec.shape[axis] // 2
    kept = slice(None, half) if known in ("top", "left") else slice(half, None)
    mask[(slice(None),) * axis + (kept,)] = 1.0
    return mask


def _drawn_mask(file: str, spec: DataSpec) -> Array:
    """Return the mask that a picture of the samples' own size holds: 1 where it is white."""
    import io

    import numpy as np
    from PIL import Image

    from genloom.files.bounded import content

    if len(spec.shape) != 3:
        raise ConfigError(f"A picture masks images, not samples of shape {spec.shape}.", mend="Use --known top.")
    try:
        picture = Image.open(io.BytesIO(content(pathlib.Path(file))), formats=["PNG"])
        if picture.size[::-1] == spec.shape[:2]:  # known before a pixel is decoded
            return (np.asarray(picture.convert("L"))[..., None] >= 128).astype("float32")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--known {file} is no half and no mask: {error}", mend=f"Give one of {', '.join(HALVES)}, or a PNG."
        ) from error
    raise ConfigError(
        f"The mask {file} is {picture.size[1]} × {picture.size[0]}, the samples {spec.shape[0]} × {spec.shape[1]}.",
        mend="Draw it at their size.",
    )
