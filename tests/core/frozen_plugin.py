"""A plugin as it was written for version 1 of the hooks. Never change it: it stands for those that nobody maintains."""

from __future__ import annotations

import genloom

GENLOOM_API = 1

CALLS = []


@genloom.hookimpl
def genloom_components():
    return [genloom.Component("metric", "frozen/zero", "frozen_plugin:zero", "Always 0.")]


@genloom.hookimpl
def genloom_commands():
    return {"frozen": ("frozen_plugin:command", "Say nothing.")}


@genloom.hookimpl
def genloom_callbacks(run):
    CALLS.append(("callbacks", run))
    return []


@genloom.hookimpl
def genloom_checkpoint_saved(path):
    CALLS.append(("saved", path))


@genloom.hookimpl(wrapper=True)
def genloom_sample(request):
    samples = yield
    CALLS.append(("sample", request.n))
    return samples


@genloom.hookimpl
def genloom_report_sections(run):
    return [("Frozen", f"<p>{run}</p>")]


@genloom.hookimpl
def genloom_doctor():
    return [("ice", True, "cold")]


def zero(generated, context):
    return 0.0
