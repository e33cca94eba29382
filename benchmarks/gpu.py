"""Large transformers on an accelerator: a DiT-B/2-like and a GPT-2-small-like training step, float32 and bfloat16.

    KERAS_BACKEND=torch python benchmarks/gpu.py           # on the device that the engine sees
    KERAS_BACKEND=torch python benchmarks/gpu.py --tiny    # the same code on small networks, in seconds

MFU is the rate of the operations that the mathematics needs, 6 per parameter and token and 12 per layer, width,
position and token for attention (Chowdhery et al. 2022, appendix B), over that of a large matrix product of the type.
With REQUIRE_GPU=1 it fails where the engine computes on the processor.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from genloom import DataSpec, GenerativeModel, Phase, backend
from genloom.layers import ConditionEmbedding
from genloom.training.precision import policy
from genloom.training.profiling import matmul_peak

WARM_UP, STEPS = 3, 20


@dataclasses.dataclass(frozen=True)
class Size:
    """A transformer: layers, width, heads, tokens of a sample, samples of a batch; what a token is made of."""

    layers: int
    width: int
    heads: int
    tokens: int
    batch: int
    vocabulary: int


SIZES = {
    "dit-b/2": Size(12, 768, 12, 256, 128, 16),  # 32 × 32 × 4 latents in patches of 2 × 2: 16 numbers a token
    "gpt-2-small": Size(12, 768, 12, 1024, 16, 50_257),
}
TINY = {"dit-b/2": Size(2, 32, 2, 16, 4, 16), "gpt-2-small": Size(2, 32, 2, 16, 4, 64)}


class Attention(layers.Layer):
    """Multi-head attention through the engine's fused kernel."""

    def __init__(self, size: Size, causal: bool) -> None:
        super().__init__()
        self.size, self.causal = size, causal
        self.query_key_value, self.out = layers.Dense(3 * size.width), layers.Dense(size.width)

    def call(self, x: Any) -> Any:
        """Tokens (n, t, d) -> (n, t, d)."""
        shape = (-1, self.size.tokens, 3, self.size.heads, self.size.width // self.size.heads)
        parts = ops.reshape(self.query_key_value(x), shape)
        mixed = ops.dot_product_attention(parts[:, :, 0], parts[:, :, 1], parts[:, :, 2], is_causal=self.causal)
        return self.out(ops.reshape(mixed, (-1, self.size.tokens, self.size.width)))


class Block(layers.Layer):
    """A transformer block before whose parts the tokens are normalised; a condition shifts, scales and gates them."""

    def __init__(self, size: Size, causal: bool, conditioned: bool) -> None:
        super().__init__()
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.attention = Attention(size, causal)
        self.wide, self.narrow = layers.Dense(4 * size.width, "gelu"), layers.Dense(size.width)
        self.modulation = layers.Dense(6 * size.width) if conditioned else None

    def call(self, x: Any, condition: Any = None) -> Any:
        """Tokens (n, t, d) and condition (n, d) -> tokens."""
        if self.modulation is None:
            x = x + self.attention(self.norms[0](x))
            return x + self.narrow(self.wide(self.norms[1](x)))
        parts = ops.split(self.modulation(ops.silu(condition))[:, None], 6, axis=-1)
        x = x + parts[2] * self.attention(self.norms[0](x) * (1 + parts[1]) + parts[0])
        return x + parts[5] * self.narrow(self.wide(self.norms[1](x) * (1 + parts[4]) + parts[3]))


class DiT(GenerativeModel):
    """A diffusion transformer with adaptive layer norm (Peebles and Xie 2023), predicting noise."""

    def __init__(self, size: Size) -> None:
        super().__init__(DataSpec((size.tokens, size.vocabulary), kind="signal", value_range=None))
        self.size, self.inside = size, layers.Dense(size.width)
        self.time = ConditionEmbedding(size.width)
        self.blocks = [Block(size, causal=False, conditioned=True) for _ in range(size.layers)]
        self.outside = layers.Dense(size.vocabulary)
        self.predict(ops.zeros((1, size.tokens, size.vocabulary)), ops.zeros((1,)))

    def predict(self, x: Any, t: Any) -> Any:  # type: ignore[override]
        """Noisy tokens (n, t, v) at times (n,) -> the noise in them."""
        y, condition = self.inside(x), self.time(t)
        for block in self.blocks:
            y = block(y, condition)
        return self.outside(y)

    def phases(self) -> list[Phase]:
        """One phase."""
        return [Phase("noise", lambda: self.trainable_variables, self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Mean squared error on the cosine path."""
        x = batch["x"]
        t, noise = self.uniform((x.shape[0],)), self.normal(tuple(x.shape))
        s = (np.pi / 2) * t[:, None, None]
        predicted = self.predict(ops.cos(s) * x + ops.sin(s) * noise, t)
        return ops.mean((ops.cast(predicted, "float32") - noise) ** 2), {}, 1.0


class GPT(GenerativeModel):
    """A causal language model (Radford et al. 2019)."""

    def __init__(self, size: Size) -> None:
        super().__init__(DataSpec((size.tokens,), kind="signal", value_range=None))
        self.size = size
        self.words = layers.Embedding(size.vocabulary, size.width)
        self.places = layers.Embedding(size.tokens, size.width)
        self.blocks = [Block(size, causal=True, conditioned=False) for _ in range(size.layers)]
        self.norm = layers.LayerNormalization()
        self.logits(ops.zeros((1, size.tokens), "int32"))

    def logits(self, x: Any) -> Any:
        """Tokens (n, t) -> logits of the next ones (n, t, v), by the transposed embedding."""
        y = self.words(x) + self.places(ops.arange(self.size.tokens))
        for block in self.blocks:
            y = block(y)
        y = self.norm(y)
        return ops.matmul(y, ops.transpose(ops.cast(self.words.embeddings, y.dtype)))

    def phases(self) -> list[Phase]:
        """One phase."""
        return [Phase("next", lambda: self.trainable_variables, self.loss_of)]

    def loss_of(self, batch: dict[str, Any]) -> tuple[Any, dict[str, Any], Any]:
        """Cross-entropy of each next token."""
        x = ops.cast(batch["x"], "int32")
        logits = ops.cast(self.logits(x)[:, :-1], "float32")
        losses = ops.sparse_categorical_crossentropy(x[:, 1:], logits, from_logits=True)
        return ops.mean(losses), {}, 1.0


class Clock(keras.callbacks.Callback):
    """Times steps, each waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Start."""
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Wait and stop."""
        self.losses.append(float(logs["loss"]))
        self.seconds.append(time.perf_counter() - self.began)


def batches(name: str, size: Size) -> Iterator[tuple[dict[str, np.ndarray]]]:
    """Endless random batches."""
    rng = np.random.default_rng(0)
    if name == "gpt-2-small":
        x = rng.integers(0, size.vocabulary, (size.batch, size.tokens)).astype("int32")
    else:
        x = rng.standard_normal((size.batch, size.tokens, size.vocabulary)).astype("float32")
    while True:
        yield ({"x": x},)


def measure(name: str, precision: str, tiny: bool) -> dict[str, float]:
    """Return milliseconds of a step, tokens per second, MFU, and the first and last running mean of the loss."""
    size, clock = (TINY if tiny else SIZES)[name], Clock()
    with policy(precision):
        model = (GPT if name == "gpt-2-small" else DiT)(size)
        peak = matmul_peak()
    model.compile(keras.optimizers.AdamW(1e-3 if tiny else 1e-4))
    model.fit(batches(name, size), steps_per_epoch=WARM_UP + STEPS, callbacks=[clock], shuffle=False, verbose=0)
    step = statistics.median(clock.seconds[WARM_UP:])
    tokens = size.batch * size.tokens
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    if name == "gpt-2-small":
        weights -= size.tokens * size.width  # places are looked up; words are looked up and multiplied
    operations = tokens * (6 * weights + 12 * size.layers * size.width * size.tokens)
    mfu = operations / step / peak
    return {"ms": 1e3 * step, "tokens": tokens / step, "mfu": mfu, "first": clock.losses[0], "last": clock.losses[-1]}


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small networks, for any machine")
    options = parser.parse_args()
    device = str(keras.ops.ones(1).device).lower()
    if os.environ.get("REQUIRE_GPU") == "1" and not ("cuda" in device or "gpu" in device):
        raise SystemExit(f"REQUIRE_GPU=1, but {backend.name()} computes on {device}.")
    print(f"{backend.name()} on {device}\n")
    print("| step | precision | ms | tokens/s | MFU | loss |\n| --- | --- | --- | --- | --- | --- |")
    for name in SIZES:
        for precision in ("float32", "bfloat16"):
            r = measure(name, precision, options.tiny)
            loss = f"{r['first']:.3f} → {r['last']:.3f}"
            print(
                f"| {name} | {precision} | {r['ms']:.2f} | {r['tokens']:,.0f} | {r['mfu']:.1%} | {loss} |", flush=True
            )


if __name__ == "__main__":
    main()
