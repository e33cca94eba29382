"""Which tokens may be drawn: the smallest sets, ties by number, rules one after the other, as elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from genloom.errors import ConfigError
from genloom_language.choosing import Rules, kept


def allowed(logits: Any, **rules: Any) -> np.ndarray:
    """Which tokens are left, bool of the shape of the logits."""
    found = np.asarray(ops.convert_to_numpy(kept(ops.convert_to_tensor(np.asarray(logits, "float32")), Rules(**rules))))
    return found > -1e29


def plain(logits: np.ndarray, rules: Rules) -> np.ndarray:
    """The same for one row, token by token, in float64."""
    left = list(range(len(logits)))

    def shares() -> dict[int, float]:
        p = {token: np.exp(logits[token] - logits[left].max()) for token in left}
        return {token: value / sum(p.values()) for token, value in p.items()}

    def first(order: list[int], p: dict[int, float], share: float) -> list[int]:
        total, found = 0.0, []
        for token in order:
            if total >= share - 1e-9:
                break
            found.append(token)
            total += p[token]
        return found

    if rules.top_k:
        left = sorted(left, key=lambda token: (-logits[token], token))[: rules.top_k]
    p = shares()
    if rules.top_p < 1:
        left = first(sorted(left, key=lambda token: (-p[token], token)), p, rules.top_p)
        p = shares()
    if rules.min_p:
        left = [token for token in left if p[token] >= rules.min_p * max(p.values())]
        p = shares()
    if rules.typical < 1:
        entropy = -sum(value * np.log(value) for value in p.values())
        left = first(sorted(left, key=lambda t: (round(abs(-np.log(p[t]) - entropy), 6), t)), p, rules.typical)
    return np.isin(np.arange(len(logits)), left)


@pytest.mark.parametrize(
    ("rules", "count"),
    [({"top_p": 0.5}, 2), ({"top_p": 0.51}, 3), ({"top_p": 0.25}, 1), ({"top_p": 0.01}, 1), ({"top_k": 3}, 3),
     ({"top_k": 9}, 4), ({"typical": 0.5}, 2), ({"typical": 0.76}, 4), ({"min_p": 1.0}, 4),
     ({"top_k": 2, "top_p": 0.5}, 1), ({"top_k": 2, "typical": 0.5}, 1), ({"top_p": 0.75, "typical": 0.5}, 2)],
)  # fmt: skip
def test_of_four_equal_tokens_the_first_ones_are_kept_and_no_more(rules: dict[str, Any], count: int) -> None:
    for value in (0.0, -3.7):
        assert allowed([[value] * 4], **rules)[0].tolist() == [True] * count + [False] * (4 - count)


def test_ten_tenths_reach_every_share_with_as_many_tokens() -> None:
    """Three tenths in float32 are a little less than .3, or more."""
    for count in range(1, 10):
        for name in ("top_p", "typical"):
            assert allowed(np.zeros((1, 10)), **{name: count / 10}).sum() == count


def test_a_share_is_of_what_the_rule_before_left() -> None:
    logits = np.log([[0.4, 0.3, 0.2, 0.1]])
    assert allowed(logits, top_k=2, top_p=0.55).tolist() == [[True, False, False, False]]  # .4 of .7 are .571
    assert allowed(logits, top_p=0.55).tolist() == [[True, True, False, False]]
    # Of .4 and .3 the entropy is .683 nats, .847 and .560 the surprises: the first is the more typical of the two.
    assert allowed(logits, top_k=2, typical=0.3).tolist() == [[True, False, False, False]]
    # Of all four it is 1.280; .916, 1.204, 1.609 and 2.303 the surprises.
    assert allowed(logits, typical=0.3).tolist() == [[False, True, False, False]]


RULES: list[dict[str, Any]] = [
    {"top_k": 5}, {"top_p": 0.3}, {"top_p": 0.9}, {"min_p": 0.2}, {"typical": 0.4}, {"typical": 0.9},
    {"top_k": 6, "top_p": 0.7}, {"top_k": 8, "min_p": 0.1}, {"top_p": 0.8, "min_p": 0.3, "typical": 0.6},
    {"top_k": 9, "top_p": 0.9, "min_p": 0.05, "typical": 0.7},
]  # fmt: skip


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_the_tokens_are_those_of_a_plain_implementation_ties_among_them(rules: dict[str, Any]) -> None:
    rng = np.random.default_rng(7)
    smooth, tied = 2.0 * rng.standard_normal((40, 23)), rng.integers(0, 4, (40, 23)).astype(float)
    for logits in (smooth, tied):
        expected = np.stack([plain(row, Rules(**rules)) for row in logits.astype("float32").astype(float)])
        assert np.array_equal(allowed(logits, **rules), expected)


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_the_tokens_are_those_of_transformers(rules: dict[str, Any]) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    warpers = {
        "top_k": transformers.TopKLogitsWarper,
        "top_p": transformers.TopPLogitsWarper,
        "min_p": transformers.MinPLogitsWarper,
        "typical": transformers.TypicalLogitsWarper,
    }
    logits = 2.0 * np.random.default_rng(8).standard_normal((60, 50)).astype("float32")
    scores = torch.tensor(logits)
    for name, warper in warpers.items():  # in the order of its own generate
        if name in rules:
            scores = warper(rules[name])(None, scores)
    assert np.array_equal(allowed(logits, **rules), torch.isfinite(scores).numpy())


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p", "typical", "repetition"])
def test_what_is_no_number_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}=nan is out of range"):
        Rules(**{name: float("nan")})
