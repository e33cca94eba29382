"""Options that shape a network, away from their defaults: what they change, as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec

SPEC = DataSpec((12,), kind="text", dtype="int32", value_range=None, vocabulary=64)


def transformer(**options: Any) -> Any:
    return genloom.create("language/transformer", SPEC, **options)


def numbers(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


@pytest.mark.parametrize("base", [3.0, 50.0, 1e4])
def test_rotary_positions_turn_pairs_by_rates_of_their_base(base: float) -> None:
    """The weights of a head of six values, its pairs as complex numbers that turn by place · base^(-i/3)."""
    model = transformer(
        layers=1, heads=1, width=6, position="rotary", rotary_base=base, norm="rms", initializer_range=0.8
    )
    tokens = np.arange(10, dtype="int32")[None]
    (block,) = model.blocks
    y = block.attention_norm(model.embedding(tokens))
    turn = np.exp(1j * np.arange(10)[:, None] * base ** (-np.arange(3) / 3))  # (t, 3)
    q, k = (
        turn * (pairs[:, :3] + 1j * pairs[:, 3:]) for pairs in (numbers(of(y))[0] for of in (block.query, block.key))
    )
    scores = np.where(np.tril(np.ones((10, 10))), (q @ k.conj().T).real / np.sqrt(6), -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    assert np.ptp(scores[-1]) > 0.5  # the weights are far from even
    np.testing.assert_allclose(numbers(model.attention(tokens))[0, 0, 0], weights, atol=1e-5)


@pytest.mark.parametrize("deviation", [0.005, 0.3])
def test_initial_matrices_have_the_deviation_asked_for(deviation: float) -> None:
    """What is added to the residual stream, four times in two layers, is smaller by √4."""
    model = transformer(layers=2, heads=2, width=64, tied=False, initializer_range=deviation)
    plain = [model.embedding.embeddings, model.position_embedding.embeddings, model.out.kernel]
    deep = []
    for block in model.blocks:
        plain += [block.query.kernel, block.key.kernel, block.value.kernel, block.up.kernel]
        deep += [block.mix.kernel, block.down.kernel]
    for matrix, expected in [*((m, deviation) for m in plain), *((m, deviation / 2) for m in deep)]:
        values = numbers(matrix.value)
        of_chance = 4 / np.sqrt(2 * values.size)  # four deviations of a sample's deviation
        assert values.std() == pytest.approx(expected, rel=of_chance)
