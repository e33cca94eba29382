"""`genloom doctor`: what is installed, what will be used and why, and what to do about what is missing.

It stays light: versions come from metadata, and devices from one child process per engine with a time limit, so that a
broken engine can neither slow nor break it.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import click

from genloom import engine
from genloom.cli.flags import json_flag
from genloom.cli.output import note, print_json, table
from genloom.cli.speed import KINDS, Speed, advice, measured
from genloom.errors import ConfigError, RunError

__all__ = ["Check", "doctor", "examine"]

DEVICE_SECONDS = 60  # importing TensorFlow from a cold disk takes tens of seconds

#: Engine -> program that prints its devices in one line.
_DEVICES = {
    "jax": "import jax; print(', '.join(str(d) for d in jax.devices()))",
    "torch": "import torch; n = torch.cuda.device_count(); "
    "print(', '.join(torch.cuda.get_device_name(i) for i in range(n)) or 'cpu')",
    "tensorflow": "import tensorflow as tf; print(', '.join(d.name for d in tf.config.list_logical_devices()))",
}
_LIBRARIES = ("keras", "numpy", "scipy", "scikit-learn", "grain", "safetensors", "pillow", "matplotlib")


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of the examination.

    Attributes:
        name: what was looked at.
        status: "ok", "note" (works, but worth knowing) or "problem".
        found: what was found, and for a problem what to do.
    """

    name: str
    status: str
    found: str


@click.command()
@json_flag
@click.option("--no-devices", is_flag=True, help="Do not start the engines to ask for their devices.")
@click.option("--bench", is_flag=True, help="Time small training steps on each engine and say which to choose here.")
def doctor(as_json: bool, no_devices: bool, bench: bool) -> None:
    """Check this installation: engines, plugins, caches, devices, and what is missing."""
    if bench:
        _bench(as_json)
        return
    checks = examine(devices=not no_devices)
    if as_json:
        problems = sum(check.status == "problem" for check in checks)
        print_json(problems=problems, checks=[dataclasses.asdict(check) for check in checks])
        return
    table(("check", "status", "found"), [(check.name, check.status, check.found) for check in checks])


def _bench(as_json: bool) -> None:
    """Print the speed of each engine.

    Raises:
        RunError: no engine gave an answer.
    """
    speeds = measured()
    chosen = advice(speeds)
    if not chosen:
        failures = "; ".join(f"{speed.engine}: {speed.failure}" for speed in speeds)
        raise RunError(f"No engine gave an answer: {failures}.", mend="See what is wrong with: genloom doctor")
    if as_json:
        print_json(engines=[dataclasses.asdict(speed) for speed in speeds], fastest=chosen)
        return
    table(("engine", *(f"{kind}, ms per step" for kind in KINDS)), [_speed_row(speed) for speed in speeds])
    for kind, name in chosen.items():
        note(f"{kind}: choose {name} on this machine.")


def _speed_row(speed: Speed) -> tuple[str, ...]:
    if speed.steps is None:
        return speed.engine, speed.failure or "", *[""] * (len(KINDS) - 1)
    cells = [speed.steps[kind] for kind in KINDS]
    return speed.engine, *(f"{cell['ms']:.2f} ({cell['lowest']:.2f} to {cell['highest']:.2f})" for cell in cells)


def examine(devices: bool = True) -> list[Check]:
    """Return all checks.

    Args:
        devices: whether to start each engine in a child process and ask it for its devices.
    """
    return [
        Check("python", "ok", f"{platform.python_version()} at {sys.executable}"),
        Check("platform", "ok", f"{platform.platform()}, {os.cpu_count()} processors"),
        *_libraries(),
        *_engines(devices),
        *_plugins(),
        *_threads(),
        *_caches(),
        _graphics_card(),
        *_from_plugins(),
    ]


def _libraries() -> list[Check]:
    found = []
    for name in ("genloom", *_LIBRARIES):
        version = _version(name)
        missing = f"not installed; pip install {name}"
        found.append(Check(name, "problem" if version is None else "ok", missing if version is None else version))
    return found


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _engines(devices: bool) -> list[Check]:
    names = engine.installed()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = list(pool.map(_devices, names)) if devices else [("ok", "")] * len(names)
    found = [
        Check(name, status, f"{_engine_version(name)} {answer}".strip())
        for name, (status, answer) in zip(names, answers, strict=True)
    ]
    try:
        chosen, why = engine.select()
        found.append(Check("engine", "ok", f"{chosen} will be used, because of {why}"))
    except ConfigError as error:
        found.append(Check("engine", "problem", str(error)))
    return found


def _engine_version(name: str) -> str:
    # The distribution of an engine may have another name: tensorflow-cpu brings the module tensorflow.
    distributions = importlib.metadata.packages_distributions().get(name, [name])
    return " ".join(f"{each} {_version(each)}" for each in sorted(set(distributions)))


def _devices(name: str) -> tuple[str, str]:
    """Return (status, devices or what went wrong) of one engine."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DEVICES[name]],
            capture_output=True,
            text=True,
            timeout=DEVICE_SECONDS,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return "problem", f"gave no answer in {DEVICE_SECONDS} s"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return "problem", f"cannot be imported: {last}; reinstall it: pip install --force-reinstall 'genloom[{name}]'"
    return "ok", "on " + (done.stdout.strip().splitlines() or ["?"])[-1]


def _plugins() -> list[Check]:
    from genloom.plugins.discovery import plugins
    from genloom.plugins.registry import clashes

    found = []
    for status in plugins():
        title = f"plugin {status.name}"
        if status.status == "disabled":
            found.append(Check(title, "note", f"{status.distribution} {status.version} is disabled: {status.cause}"))
        elif status.cause:
            found.append(Check(title, "problem", status.defect()))
        elif status.name != "genloom":
            found.append(Check(title, "ok", f"{status.distribution} {status.version}"))
    return [*found, *(Check("component ids", "problem", line) for line in clashes())]


def _threads() -> list[Check]:
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is None:
        text = "OMP_NUM_THREADS is not set; set it when several processes share this machine"
        return [Check("threads", "note", text)]
    return [Check("threads", "ok", f"OMP_NUM_THREADS={threads}")]


def _caches() -> list[Check]:
    from genloom.files.caches import cache_directory

    try:
        own = _cache("genloom cache", cache_directory("jax").parent, "GENLOOM_CACHE")
    except OSError as error:
        own = Check("genloom cache", "problem", f"{error}; set GENLOOM_CACHE to a folder of yours")
    return [_cache("keras cache", pathlib.Path(engine.keras_folder()), "KERAS_HOME"), own]


def _cache(name: str, folder: pathlib.Path, variable: str) -> Check:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        return Check(name, "problem", f"{folder} cannot be written; set {variable} to a folder of yours")
    free = shutil.disk_usage(existing).free / 2**30
    return Check(name, "note" if free < 1 else "ok", f"{folder}, {free:.1f} GiB free")


def _graphics_card() -> Check:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("nvidia-smi", "note", "absent: no NVIDIA GPU is visible")
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return Check("nvidia-smi", "problem", "gave no answer in 10 s; check the driver")
    text = "; ".join((done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip().splitlines())
    return Check("nvidia-smi", "ok" if done.returncode == 0 else "problem", text or "no answer")


def _from_plugins() -> list[Check]:
    from genloom.plugins.hooks import notify

    found = []
    for status, checks in notify("genloom_doctor"):
        try:
            found += [Check(f"{status.name}: {name}", "ok" if well else "problem", text) for name, well, text in checks]
        except (TypeError, ValueError) as error:
            found.append(Check(status.name, "problem", f"genloom_doctor gave no (name, well, text): {error}"))
    return found
