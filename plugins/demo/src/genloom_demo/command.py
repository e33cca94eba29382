"""`genloom demo`: the main job from end to end, every command shown before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genloom import engine
from genloom.cli.flags import backend, json_flag
from genloom.cli.output import note, print_json, say, table

__all__ = ["demo"]


@click.command()
@click.option(
    "--data",
    default="digits",
    show_default=True,
    metavar="SRC",
    help="Pictures: digits, mnist, idx:DIR.",
)
@click.option("--out", default="runs/demo", show_default=True, type=click.Path(), metavar="DIR", help="Where to write.")
@click.option("--quick", is_flag=True, help="Train for seconds only, to try the machinery.")
@backend
@json_flag
def demo(data: str, out: str, quick: bool, backend: str | None, as_json: bool) -> None:
    """Train a VAE, a GAN and a diffusion model on real digits, measure them and write one report.

    In the end it writes a plugin, installs it into a throw-away environment, trains it and removes it again.

    Takes about five minutes on two cores with the embedded 8×8 digits, longer at 28×28. A demo that was stopped goes
    on where it was.
    """
    from genloom_demo import summary
    from genloom_demo.plan import Demo

    first, _ = engine.select(backend)
    engines = (first, *(name for name in engine.installed() if name != first))
    plan = Demo(data, Path(out), engines, seeds=(1,) if quick else (1, 2, 3), quick=quick)
    plan.run(note)
    failure = plan.try_plugin(note)
    found = summary.summarise(plan)
    paths = summary.write_report(plan, found)
    if not as_json:
        _print(found)
        say(f"\nReport: {paths[1]}")
    if failure is not None:
        raise failure
    if as_json:
        print_json(**found)


def _print(found: dict[str, Any]) -> None:
    families = found["families"]
    reference = families[0]["metrics"]
    names = list(reference)
    rows = [(f["family"], *(_cell(f["metrics"][name]) for name in names)) for f in families]
    rows.append(("real data", *(_number(reference[name]["floor"]) for name in names)))
    for opponent in ("mixture", "gaussian", "marginals"):
        rows.append((opponent, *(_number((reference[name]["opponents"] or {}).get(opponent)) for name in names)))
    table(("", *names), rows, split=True)
    say()
    for name, bar in found["bars"].items():
        say(f"{name}: {bar['value']:.3f} (bar {bar['limit']}) {'met' if bar['met'] else 'MISSED'}")
    if found["largest_difference"] is not None:
        say(f"Largest difference between {', '.join(found['engines'])}: {found['largest_difference']:.2g}")
    plugin = found["plugin"]
    if plugin is not None:
        first, last = plugin["losses"][0], plugin["losses"][-1]
        say(f"{plugin['model']} written, installed, trained (loss {first:.3g} → {last:.3g}) and removed again")
    say(f"{found['seconds']:.0f} s in all")


def _cell(metric: dict[str, Any]) -> str:
    spread = metric["spread"]
    return _number(metric["value"]) + ("" if spread is None else f" ± {spread:.2g}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
