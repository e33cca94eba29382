"""The prior over codes: a distribution, causal, and drawn from as it says."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from keras import ops

from genloom import random
from genloom.model.initializers import reseed
from genloom_vae.code_prior import CodePrior

LEVELS, PLACES = (2, 3), 2
ALL = np.array(list(itertools.product(*map(range, LEVELS * PLACES))), "int32")  # 36 sequences


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def made(classes: int = 2) -> CodePrior:
    prior = CodePrior(PLACES, LEVELS, classes, layers=2, heads=2, width=8)
    reseed(prior, 3)
    head = np.random.RandomState(0).normal(scale=0.7, size=prior.head.kernel.shape)
    prior.head.kernel.assign(head)  # it starts at zero, an even guess
    return prior


def test_probabilities_of_all_sequences_sum_to_one_under_every_label() -> None:
    prior = made()
    for label in (0, 1):
        log_p = array(prior.log_prob(ops.convert_to_tensor(ALL), ops.full((len(ALL),), label, dtype="int32")))
        np.testing.assert_allclose(np.exp(log_p.astype("float64")).sum(), 1.0, rtol=1e-5)
        assert log_p.max() - log_p.min() > 1.0


def test_an_untrained_prior_guesses_evenly() -> None:
    prior = CodePrior(PLACES, LEVELS, layers=1, heads=2, width=8)
    np.testing.assert_allclose(array(prior.log_prob(ops.convert_to_tensor(ALL))), -np.log(36.0), rtol=1e-5)


def test_a_letter_depends_on_those_before_it_alone() -> None:
    prior = made(0)
    letters = array(ALL[:2] * 0) + prior.firsts
    letters[1, 2] += 1
    logits = array(prior.logits(ops.convert_to_tensor(letters), None))
    np.testing.assert_array_equal(logits[0, :3], logits[1, :3])
    assert np.abs(logits[0, 3] - logits[1, 3]).max() > 1e-3


def test_sequences_are_drawn_as_often_as_their_probability_says() -> None:
    """Each step sees what the whole network sees: 20,000 draws, within five deviations of each frequency."""
    prior, n = made(), 20_000
    labels = ops.ones((n,), "int32")
    drawn = array(prior.sample(random.keys(5, n), labels))
    expected = np.exp(array(prior.log_prob(ops.convert_to_tensor(ALL), labels[:36])).astype("float64"))
    found = (drawn[:, None] == ALL).all(-1).mean(0)
    assert np.abs(found - expected).max() < 5.0 * np.sqrt(expected.max() / n)
    np.testing.assert_allclose(found.sum(), 1.0)  # nothing else was drawn


def test_at_temperature_zero_each_letter_is_the_likeliest() -> None:
    prior = made(0)
    drawn = array(prior.sample(random.keys(0, 2), temperature=0.0))
    letters = drawn + prior.firsts
    np.testing.assert_array_equal(array(prior.logits(ops.convert_to_tensor(letters), None)).argmax(-1), letters)
    np.testing.assert_array_equal(drawn[0], drawn[1])
