"""`genloom sample`: draw from a run, pass the samples through post-processors, write them by the file's ending."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import click

from genloom.cli import engine
from genloom.cli.flags import backend, json_flag, run_argument
from genloom.cli.output import print_json
from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom.cli.writers import Drawn
    from genloom.runs import Run

__all__ = ["sample"]


@click.command()
@run_argument
@click.option("-n", "n", type=click.IntRange(min=1), default=64, show_default=True, help="Number of samples.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the samples.")
@click.option("--label", metavar="K", help="Class to draw, by number or name.")
@click.option("--prompt", metavar="TEXT", help="Text to start from, for models that take one.")
@click.option("--condition", "conditions", multiple=True, metavar="NAME=VALUE|FILE", help="Another condition.")
@click.option(
    "--mode",
    type=click.Choice(["generate", "reconstruct", "interpolate"]),
    default="generate",
    show_default=True,
    help="Draw new samples, rebuild held-out ones, or walk between them.",
)
@click.option("--data", metavar="SRC", help="Data to reconstruct or walk between; the run's own by default.")
@click.option("--set", "assignments", multiple=True, metavar="K=V", help="A sampling option, such as steps=50.")
@click.option("--post", multiple=True, metavar="NAME[:K=V,…]", help="A post-processor, such as clip (repeatable).")
@click.option("--out", type=click.Path(), metavar="FILE", help="Where to write: .png .npz .gif .csv, or a folder.")
@backend
@json_flag
def sample(run: str, out: str | None, mode: str, post: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Draw samples from RUN and write them by the ending of --out.

    Sample i of a seed is the same whatever -n, on every engine.
    """
    from genloom.cli.writers import check_ending, write
    from genloom.runs import open_run

    opened = open_run(run)
    if out is not None:
        check_ending(out)
    chosen = engine.choose(asked["backend"])
    drawn = _post_processed(_generated(opened, asked) if mode == "generate" else _mapped(opened, mode, asked), post)
    path = write(drawn, out if out is not None else _default_out(opened, drawn, mode, asked["seed"]))
    if as_json:
        shape = list(drawn.samples.shape)
        print_json(run=opened.path, out=path, mode=mode, engine=chosen, seed=asked["seed"], shape=shape)
    else:
        print(path)


def _generated(run: Run, asked: dict[str, Any]) -> Drawn:
    import genloom
    from genloom.cli.conditions import condition, literal
    from genloom.cli.writers import Drawn
    from genloom.data.spec import DataSpec
    from genloom.options import parse_assignments

    spec = DataSpec.from_dict(run.config["data"]["spec"])
    wanted = condition(spec, asked["n"], asked["label"], asked["prompt"], asked["conditions"])
    options = {name: literal(value) for name, value in parse_assignments(asked["assignments"]).items()}
    found = genloom.sample(run, asked["n"], seed=asked["seed"], condition=wanted, **options)
    return Drawn(found.samples, found.labels, found.seeds, found.spec)


def _mapped(run: Run, mode: str, asked: dict[str, Any]) -> Drawn:
    """Reconstruct or interpolate."""
    import genloom
    from genloom.cli import modes

    taken = {"--label": asked["label"], "--prompt": asked["prompt"], "--condition": asked["conditions"]}
    wrong = [flag for flag, value in taken.items() if value]
    if wrong:
        raise ConfigError(
            f"{wrong[0]} has no meaning with --mode {mode}.", mend="Leave it out, or use --mode generate."
        )
    model = genloom.load(run)
    dataset = genloom.data.open(asked["data"] or run.config["data"]["address"])
    if dataset.spec.shape != model.spec.shape:
        raise ConfigError(f"Samples of {dataset.address} are {dataset.spec.shape}, the run's are {model.spec.shape}.")
    function = modes.reconstruct if mode == "reconstruct" else modes.interpolate
    return function(model, dataset, asked["n"])


def _post_processed(drawn: Drawn, post: tuple[str, ...]) -> Drawn:
    if not post:
        return drawn
    from genloom.postprocess import chain

    samples, spec = chain(list(post))(drawn.samples, drawn.spec)
    return drawn._replace(samples=samples, spec=spec)


def _default_out(run: Run, drawn: Drawn, mode: str, seed: int) -> pathlib.Path:
    from genloom.report.pictures import drawable

    ending = ".png" if drawable(drawn.spec) else ".npz"
    return run.path / "samples" / f"{mode}-seed-{seed}{ending}"
