"""The plugin `flow`: two normalizing flows, a command, a callback, a report section; light until one is used."""

from __future__ import annotations

from typing import Any

from genloom import Component, Preset, hookimpl
from third_party_flow.options import RealNVPOptions, SplineOptions

__all__ = ["genloom_callbacks", "genloom_commands", "genloom_components", "genloom_report_sections"]

GENLOOM_API = 1

_KINDS = ("image", "signal", "table")
# Digits have 17 grey levels; their density is of values spread over the steps between them.
_DIGITS = {"levels": 17, "hidden": 128}
_TRAINING = {"epochs": 20, "ema": 0.99, "schedule": "cosine"}


@hookimpl
def genloom_components() -> list[Component]:
    """Return the two models."""
    return [
        Component(
            "model",
            "flow/realnvp",
            "third_party_flow.model:RealNVP",
            "Affine couplings (Dinh et al. 2017), exact likelihood.",
            options=RealNVPOptions,
            presets={"digits": Preset(_DIGITS, _TRAINING)},
            accepts=_KINDS,
        ),
        Component(
            "model",
            "flow/spline",
            "third_party_flow.model:SplineFlow",
            "Rational-quadratic spline couplings (Durkan et al. 2019), exact likelihood.",
            options=SplineOptions,
            presets={"digits": Preset(_DIGITS | {"layers": 6}, _TRAINING)},
            accepts=_KINDS,
        ),
    ]


@hookimpl
def genloom_commands() -> dict[str, tuple[str, str]]:
    """Return the command `genloom density`."""
    return {"density": ("third_party_flow.command:density", "Held-out likelihood of a run with an exact one.")}


@hookimpl
def genloom_callbacks(run: Any) -> list[Any]:
    """Return the callback that watches whether the flow can still be inverted."""
    from third_party_flow.callback import Inversion

    return [Inversion(run)]


@hookimpl
def genloom_report_sections(run: Any) -> list[Any]:
    """Return the section about inversion and density, for runs that have one."""
    from third_party_flow.section import sections

    return sections(run)
