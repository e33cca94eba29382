"""`genloom sample`: draw from a run, pass the samples through post-processors, write them by the file's ending."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import click

from genloom import engine
from genloom.cli import offers
from genloom.cli.flags import SAMPLES, backend, json_flag, post_flag, run_argument, seed_flag, set_flag
from genloom.cli.output import note, print_json, say
from genloom.errors import ConfigError

if TYPE_CHECKING:
    from genloom.data.samples import Samples
    from genloom.runs import Run

__all__ = ["sample"]


@click.command()
@run_argument
@click.option("-n", "n", type=SAMPLES, default=64, show_default=True, help="Number of samples.")
@seed_flag("Seed of the samples; with --mode, of the choice of held-out samples.")
@click.option("--label", metavar="K", help="Class to draw, by name or number.")
@click.option("--prompt", metavar="TEXT", help="Text to start from, for models that take one.")
@click.option("--condition", "conditions", multiple=True, metavar="NAME=VALUE|FILE", help="Another condition.")
@click.option(
    "--mode",
    type=click.Choice(["generate", "reconstruct", "interpolate", "traverse", "arithmetic"]),
    default="generate",
    show_default=True,
    help="Draw new samples, rebuild held-out ones, walk between them, change one dimension of a code in each row, or "
    "turn samples into a class.",
)
@click.option("--add", metavar="K", help="With --mode arithmetic: the class to become.")
@click.option("--subtract", metavar="K", help="With --mode arithmetic: the class to come from; any other by default.")
@click.option(
    "--data",
    metavar="SRC",
    help="Data whose samples a --mode takes; the run's own by default.",
    shell_complete=offers.data,
)
@set_flag("A sampling option, such as steps=50.")
@post_flag("A post-processor, such as clip (repeatable).")
@click.option("--no-post", is_flag=True, help="Leave out the post-processors that the run was trained with.")
@click.option("--out", type=click.Path(), metavar="FILE", help="Where to write: .png .npz .gif .csv .txt, or a folder.")
@backend
@json_flag
def sample(run: str, out: str | None, mode: str, as_json: bool, **asked: Any) -> None:
    """Draw samples from RUN, post-process them and write them by the ending of --out.

    Sample i of a seed is the same whatever -n, on every engine.
    """
    from genloom.modalities.writing import check_ending, write
    from genloom.runs import open_run

    if asked["post"] and asked["no_post"]:
        raise ConfigError("--post and --no-post exclude each other.", mend="Give one of them.")
    _check_classes(mode, asked)
    opened = open_run(run)
    if out is not None:
        check_ending(out)
    chosen = engine.choose(asked["backend"])
    drawn = _generated(opened, asked) if mode == "generate" else _mapped(opened, mode, asked)
    if drawn.step is not None:
        note(_weights(opened, drawn.step))
    path = write(drawn, out if out is not None else _default_out(opened, drawn, mode, asked["seed"]))
    if as_json:
        shape = list(drawn.samples.shape)
        stated = {"step": drawn.step, "status": opened.status}
        print_json(run=opened.path, out=path, mode=mode, engine=chosen, seed=asked["seed"], shape=shape, **stated)
    else:
        say(path)


def _check_classes(mode: str, asked: dict[str, Any]) -> None:
    """Refuse classes to add or subtract where nothing is added, and arithmetic without one to add."""
    given = [name for name in ("add", "subtract") if asked[name] is not None]
    if mode != "arithmetic" and given:
        raise ConfigError(f"--{given[0]} has no meaning with --mode {mode}.", mend="Use --mode arithmetic.")
    if mode == "arithmetic" and asked["add"] is None:
        raise ConfigError("--mode arithmetic needs a class to become.", mend="Give --add CLASS.")


def _weights(run: Run, saved: int) -> str:
    """Say which step's weights are used, and how far the run was to go where it has not ended."""
    step = f"Weights of step {saved}"
    return f"{step}." if run.status == "finished" else f"{step} of {run.planned_steps or '?'}: the run is {run.status}."


def _generated(run: Run, asked: dict[str, Any]) -> Samples:
    from genloom.cli.conditions import condition, literal
    from genloom.data.spec import DataSpec
    from genloom.options import parse_assignments
    from genloom.sampling.sample import sample as draw

    spec = DataSpec.from_dict(run.stated("data", "spec"))
    wanted = condition(spec, asked["n"], asked["label"], asked["prompt"], asked["conditions"])
    options = {name: literal(value) for name, value in parse_assignments(asked["assignments"]).items()}
    post = () if asked["no_post"] else asked["post"] or None
    found = draw(run, asked["n"], seed=asked["seed"], condition=wanted, post=post, **options)
    if len(found) != asked["n"]:
        note(f"post-processing made {len(found)} of {asked['n']} samples.")
    return found


def _mapped(run: Run, mode: str, asked: dict[str, Any]) -> Samples:
    """Do what a mode asks with codes; only post-processors named here follow, for a run's own are for new samples."""
    from genloom.opening.load import load
    from genloom.plugins.registry import of_run
    from genloom.postprocess import Origin, chain
    from genloom.sampling import latents
    from genloom.sampling.conditions import class_number

    taken = {"--label": asked["label"], "--prompt": asked["prompt"], "--condition": asked["conditions"]}
    wrong = [flag for flag, value in taken.items() if value]
    if wrong:
        raise ConfigError(
            f"{wrong[0]} has no meaning with --mode {mode}.", mend="Leave it out, or use --mode generate."
        )
    steps = chain(asked["post"])
    model = load(run)
    with of_run({} if asked["data"] else run.config):
        dataset = latents.opened_for(model, asked["data"] or run.address)
    classes = {}
    if mode == "arithmetic":
        named = {name: asked[name] for name in ("add", "subtract") if asked[name] is not None}
        classes = {name: class_number(value, dataset.spec) for name, value in named.items()}
    modes: dict[str, Any] = {
        "reconstruct": latents.reconstruct,
        "interpolate": latents.interpolate,
        "traverse": latents.traverse,
        "arithmetic": latents.arithmetic,
    }
    made = modes[mode](model, dataset, asked["n"], asked["seed"], **classes).replace(step=model.loaded_step)
    return steps(made, Origin(run, lambda: model, dataset))


def _default_out(run: Run, drawn: Samples, mode: str, seed: int) -> pathlib.Path:
    from genloom.modalities import modality_of

    modality = modality_of(drawn.spec)
    ending = ".png" if modality.pictured(drawn.spec) else modality.ending(drawn)
    return run.path / "samples" / f"{mode}-seed-{seed}{ending}"
