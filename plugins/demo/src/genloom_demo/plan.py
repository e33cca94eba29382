"""What the demo does, as a list of real commands: each is shown, run in its own process, and skipped once done."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genloom.errors import RunError
from genloom.files.atomic import make_folder, write_atomic
from genloom.runs import Run
from genloom_demo.plugin import try_plugin

__all__ = ["FAMILIES", "Demo", "Step"]

#: Family → model, at about equal parameters (see the report).
FAMILIES = {"vae": "vae/mlp", "gan": "gan/mlp", "diffusion": "diffusion/ddpm"}

#: Epochs of the 8×8 digits, chosen so that three seeds of three families fit five minutes on two cores.
_DIGITS_EPOCHS = {"vae": 120, "gan": 72, "diffusion": 33}
_QUICK_EPOCHS = {"vae": 2, "gan": 2, "diffusion": 3}  # diffusion warms up for 50 steps
_PICTURES = 6  # grids over the training of a run


@dataclasses.dataclass(frozen=True)
class Step:
    """One command of the demo.

    Attributes:
        name: key in the ledger of finished steps.
        words: the words after `genloom`.
        done: says from the files on disk whether the step's result is there already.
    """

    name: str
    words: tuple[str, ...]
    done: Callable[[], bool]


@dataclasses.dataclass(frozen=True)
class Demo:
    """The plan of one demo.

    Attributes:
        data: address of the data.
        out: folder of its runs, pictures and report.
        engines: installed engines, the one that trains first.
        seeds: seeds of each family, for the spread.
        quick: train for seconds only, to try the machinery.
    """

    data: str
    out: Path
    engines: tuple[str, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    quick: bool = False

    @property
    def preset(self) -> str:
        """`tiny` for the embedded 8×8 digits, `small` for 28×28."""
        return "tiny" if self.quick or self.data.startswith("digits") else "small"

    def run_path(self, family: str, seed: int) -> Path:
        """Where the run of a family and seed is."""
        return self.out / f"{family}-seed{seed}"

    def array_path(self, family: str, engine: str) -> Path:
        """Where the samples drawn on one engine are."""
        return self.out / "engines" / f"{family}-{engine}.npz"

    def steps(self) -> Iterator[Step]:
        """Yield the commands in order: check, train, post-process, sample on every engine, evaluate."""
        grid = self.out / "data.png"
        yield Step("check", ("data", "check", self.data, "--out", str(grid)), grid.exists)
        for family in FAMILIES:
            for seed in self.seeds:
                yield self._train(family, seed)
                yield self._evaluate(family, seed)
            yield self._post(family)
        for family in FAMILIES:
            for engine in self.engines:
                yield self._sample(family, engine)

    def _train(self, family: str, seed: int) -> Step:
        path = self.run_path(family, seed)
        every = {name: str(self._every(family)) for name in ("sample_every", "validate_every", "checkpoint_every")}
        settings = [word for name, value in every.items() for word in ("--set", f"training.{name}={value}")]
        words = ["train", FAMILIES[family], "--data", self.data, "--preset", self.preset, "--seed", str(seed)]
        words += [*self._length(family), *settings, "--backend", self.engines[0], "--out", str(path)]
        words += ["--resume"] if Run(path).exists else []
        return Step(f"train {family} {seed}", tuple(words), lambda: Run(path).exists and Run(path).status == "finished")

    def _epochs(self, family: str) -> int | None:
        if self.quick:
            return _QUICK_EPOCHS[family]
        return _DIGITS_EPOCHS[family] if self.preset == "tiny" else None

    def _length(self, family: str) -> list[str]:
        epochs = self._epochs(family)
        return [] if epochs is None else ["--epochs", str(epochs)]

    def _every(self, family: str) -> int:
        epochs = self._epochs(family)
        return 2 if epochs is None else max(1, epochs // _PICTURES)

    def _evaluate(self, family: str, seed: int) -> Step:
        path = self.run_path(family, seed)
        words = ("evaluate", str(path), "--backend", self.engines[0])
        return Step(f"evaluate {family} {seed}", words, (path / "metrics.json").exists)

    def _post(self, family: str) -> Step:
        path, out = self.run_path(family, self.seeds[0]), self.out / f"{family}-upscaled.png"
        words = ("sample", str(path), "-n", "64", "--seed", "7", "--post", "clip", "--post", "upscale:factor=4")
        return Step(f"post {family}", (*words, "--backend", self.engines[0], "--out", str(out)), out.exists)

    def _sample(self, family: str, engine: str) -> Step:
        path, out = self.run_path(family, self.seeds[0]), self.array_path(family, engine)
        words = ("sample", str(path), "-n", "64", "--seed", "7", "--backend", engine, "--out", str(out))
        return Step(f"sample {family} {engine}", words, out.exists)

    @property
    def plugin_path(self) -> Path:
        """Where the plugin is that the demo writes, installs, trains and removes."""
        return self.out / "plugin"

    @property
    def ledger_path(self) -> Path:
        """The file that keeps what each finished step cost."""
        return self.out / "steps.json"

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Return step name → {"seconds", "peak_memory_mb"} of the finished steps."""
        return json.loads(self.ledger_path.read_text("utf-8")) if self.ledger_path.exists() else {}

    def run(self, say: Callable[[str], None]) -> None:
        """Run every step that is not done, saying each command before it runs.

        Raises:
            RunError: a command failed; what was finished is kept, and the same demo goes on from there.
        """
        make_folder(self.out / "engines")
        for step in self.steps():
            if step.done():
                say(f"# done already: {step.name}")
                continue
            say(f"$ genloom {shlex.join(step.words)}")
            started = time.monotonic()
            code, peak = _run(step.words)
            if code != 0:
                raise RunError(
                    f"`genloom {shlex.join(step.words)}` ended with exit code {code}.",
                    mend="Run `genloom demo` again: finished steps are kept.",
                )
            cost = {"seconds": time.monotonic() - started, "peak_memory_mb": peak}
            write_atomic(self.ledger_path, json.dumps({**self.ledger(), step.name: cost}, indent=2).encode())

    def try_plugin(self, say: Callable[[str], None]) -> RunError | None:
        """Take the last step, the way of a plugin; return what went wrong, beside which the rest of the demo stands."""
        try:
            try_plugin(self.plugin_path, self.engines[0], say)
        except RunError as error:
            return RunError(
                f"The plugin was not tried to its end: {error.message}",
                mend="What failed stands above; installing needs the package index. Run `genloom demo` again: finished "
                "steps are kept.",
            )
        return None


def _run(words: tuple[str, ...]) -> tuple[int, float | None]:
    """Run one command in its own process; return its exit code and peak memory in MB (None where unknown)."""
    program = "import sys; from genloom.cli.main import main; main(sys.argv[1:])"
    # The demo's standard output is its own result; what the commands print is progress.
    process = subprocess.Popen([sys.executable, "-c", program, *words], stdout=sys.stderr, env=_environment())
    if not hasattr(os, "wait4"):
        return process.wait(), None
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.terminate()  # Ctrl-C or SIGTERM: the training saves, and the next demo resumes it.
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    per_mb = 2**20 if sys.platform == "darwin" else 2**10
    return process.returncode, usage.ru_maxrss / per_mb


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
