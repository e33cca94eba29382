"""The rows of the table: what is measured, against whom, and the ratio that we ask of ourselves."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
import tempfile

from tasks import task
from timing import HERE, Options, Ratio, against, environment, median_ratio

__all__ = ["ENGINES", "ROWS", "Row"]

ENGINES = ("jax", "tensorflow", "torch")
EACH = {"jax": 1.0, "tensorflow": 1.0, "torch": 0.95}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: of the row and its task.
        what: what is compared, in words.
        ours: our arm, MODULE:FUNCTION.
        theirs: the peer's; "{engine}" stands for the engine of ours.
        bars: engine, or "best" of the three, → least ratio.
        peer: engine of the peer, None for the engine of ours.
        needs: a package that the peer needs, and the command that installs it.
    """

    name: str
    what: str
    ours: str
    theirs: str
    bars: dict[str, float]
    peer: str | None = None
    needs: tuple[str, str] | None = None

    def missing(self) -> str | None:
        """Return the command that installs what the row lacks, None when it can run."""
        return self.needs[1] if self.needs and importlib.util.find_spec(self.needs[0]) is None else None

    def measure(self, engine: str, options: Options) -> Ratio:
        """Return ours on one engine over theirs."""
        theirs = self.theirs.format(engine=engine), self.peer or engine
        return against((self.ours, engine), theirs, self.name, task(self.name, options.quick).window, options)


@dataclasses.dataclass(frozen=True)
class SecondProcess(Row):
    """How much sooner a process has its first pictures when another one has drawn some before it."""

    def measure(self, engine: str, options: Options) -> Ratio:
        """Return the time with empty caches over the time with full ones; "theirs" is the first process."""
        pairs, difference = [], 0.0
        for _ in range(1 if options.quick else 3):
            with tempfile.TemporaryDirectory() as cache:
                (cold, first), (warm, second) = (self._start(engine, cache, options) for _ in range(2))
            pairs.append((warm, cold))
            difference = max(difference, abs(first - second))
        return median_ratio(pairs, float("nan"), pairs[-1], difference)

    def _start(self, engine: str, cache: str, options: Options) -> tuple[float, float]:
        env = environment(engine, options.threads) | {"GENLOOM_CACHE": cache}
        for name in ("JAX_COMPILATION_CACHE_DIR", "TF_XLA_FLAGS"):
            env.pop(name, None)
        command = [sys.executable, str(HERE / "ours" / "starting.py"), *(["--quick"] if options.quick else [])]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        answer = json.loads(done.stdout.splitlines()[-1])
        return answer["seconds"], answer["mean"]


DIFFUSERS = ("diffusers", "pip install -c constraints.txt diffusers")
PYTHAE = ("pythae", "pip install --no-deps pythae; pip install cloudpickle dill imageio pydantic scipy")
TRANSFORMERS = ("transformers", "pip install -c constraints.txt transformers")
BY_HAND = "peers.by_hand_{engine}:run"

ROWS = (
    Row("vae", "step of an MLP VAE, 784-400-20, against a loop by hand", "ours.steps:run", BY_HAND, EACH),
    Row("wgan-gp", "step of an MLP WGAN-GP, against a loop by hand", "ours.steps:run", BY_HAND, EACH),
    Row("unet", "step of a U-Net of 0.3 million parameters, against a loop by hand", "ours.steps:run", BY_HAND, EACH),
    Row("unet-3m", "step of a U-Net of 3 million parameters, against a loop by hand", "ours.steps:run", BY_HAND, EACH),
    Row(
        "dit",
        "step of a diffusion transformer of 1.3 million parameters, against a loop by hand",
        "ours.steps:run",
        "peers.transformer_{engine}:run",
        {"jax": 0.97, "tensorflow": 0.97, "torch": 0.95},
    ),
    Row(
        "language-train",
        "step of nanoGPT's CPU shape, 0.8 million parameters, against a plain loop on torch",
        "ours.steps:run",
        "peers.plain_gpt:run",
        {"best": 1.0, "torch": 0.9},
        peer="torch",
    ),
    Row(
        "diffusers-unet",
        "step of diffusers' UNet2DModel, against its own training loop on torch",
        "ours.steps:run",
        "peers.with_diffusers:train",
        {"best": 1.0, "torch": 0.95},
        peer="torch",
        needs=DIFFUSERS,
    ),
    Row(
        "ddim",
        "16 pictures by DDIM in 50 steps, against diffusers' pipeline with the same network",
        "ours.sampling:run",
        "peers.with_diffusers:sample",
        {"best": 1.2, "torch": 1.0},
        peer="torch",
        needs=DIFFUSERS,
    ),
    Row(
        "pythae",
        "training of pythae's default VAE, against its trainer",
        "ours.training:as_pythae",
        "peers.with_pythae:run",
        {"best": 1.5, "torch": 1.0},
        peer="torch",
        needs=PYTHAE,
    ),
    Row(
        "language-cache",
        "248 tokens after 8 from a transformer of 6 layers × 384, with a cache against without",
        "ours.generating:with_cache",
        "ours.generating:without_cache",
        {"jax": 3.0, "tensorflow": 3.0, "torch": 2.0},
    ),
    Row(
        "language-generate",
        "248 tokens after 8, greedily, against generate of transformers with the same GPT-2 of 6 layers × 384",
        "ours.generating:with_cache",
        "peers.with_transformers:generate",
        {"best": 1.0, "torch": 0.7},
        peer="torch",
        needs=TRANSFORMERS,
    ),
    Row(
        "multi-step",
        "small network, 16 steps per execution against single steps",
        "ours.training:sixteen_at_once",
        "ours.training:one_at_a_time",
        {"jax": 1.3, "tensorflow": 1.3, "torch": 1.0},
    ),
    Row(
        "run",
        "a run with log, moving average, pictures and checkpoints, against the bare fit",
        "ours.training:run",
        "ours.training:bare_fit",
        dict.fromkeys(ENGINES, 0.97),
    ),
    SecondProcess(
        "second-process",
        "time to the first pictures once the compile caches are full, against empty ones",
        "",
        "",
        dict.fromkeys(ENGINES, 2.5),
    ),
)
