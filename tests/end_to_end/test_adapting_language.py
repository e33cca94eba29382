"""Fine-tuning a transformer by prompts and adapters, and distilling what it knew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import genloom
from genloom import DataSpec
from genloom.errors import ConfigError
from genloom.model.naming import variable_names
from genloom_adapt import (
    DoRAOptions,
    IA3Options,
    LoRAOptions,
    PrefixOptions,
    SoftOptions,
    adapt,
    detach,
    load_adapters,
    merge,
    save_adapters,
)
from genloom_language.model import Transformer
from genloom_language.published import adopt, publish

SPEC = DataSpec((12,), kind="text", dtype="int32", value_range=None, vocabulary=11, maximum_length=12)
SMALL = {"layers": 2, "heads": 4, "width": 16, "kv_heads": 2}
X = np.random.default_rng(0).integers(0, 11, (5, 12)).astype("int32")


def transformer(**options: Any) -> Transformer:
    """A model whose weights are large enough that what it sees matters."""
    model = Transformer(SPEC, seed=1, **{**SMALL, **options})
    for variable in model.trainable_variables:
        variable.assign(numbers(variable.value) * (5.0 if len(variable.shape) > 1 else 1.0))
    return model


def numbers(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_soft_prompt_of_token_vectors_is_those_tokens_before_the_text(position: str) -> None:
    """Without learned positions, vectors of real tokens as a prompt change the text's logits as the tokens do."""
    model = transformer(position=position)
    if position == "learned":
        model.position_embedding.embeddings.assign(np.zeros(model.position_embedding.embeddings.shape))
    before = [3, 7, 1]
    whole = numbers(model.logits(np.concatenate([np.tile(before, (5, 1)), X[:, :8]], axis=1)))
    adapt(model, SoftOptions(vectors=3))
    model.prompt.inputs.assign(numbers(model.embedding.embeddings.value)[before])
    assert numbers(model.logits(X[:, :8])) == pytest.approx(whole[:, 3:], abs=2e-5)


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("options", [SoftOptions(vectors=3), PrefixOptions(vectors=3)], ids=["soft", "prefix"])
def test_greedy_tokens_are_the_same_with_a_cache_and_without(options: Any, position: str) -> None:
    model = transformer(position=position, tied=False)
    adapt(model, options, seed=4)
    for variable in model.trainable_variables:
        variable.assign(numbers(variable.value) * 3.0)
    plain = genloom.sample(transformer(position=position, tied=False), 3, temperature=0.0).samples
    cached = genloom.sample(model, 3, temperature=0.0).samples
    assert np.array_equal(cached, genloom.sample(model, 3, temperature=0.0, cache=False).samples)
    assert not np.array_equal(cached, plain)


def test_a_prefix_begins_as_what_the_soft_prompt_leaves_behind() -> None:
    soft, prefix = transformer(position="rotary"), transformer(position="rotary")
    adapt(soft, SoftOptions(vectors=4), seed=2)
    adapt(prefix, PrefixOptions(vectors=4), seed=2)
    assert numbers(prefix.logits(X)) == pytest.approx(numbers(soft.logits(X)), abs=1e-5)
    assert np.abs(numbers(prefix.logits(X)) - numbers(transformer(position="rotary").logits(X))).max() > 1e-4


def test_packed_documents_see_the_prompt_and_not_each_other() -> None:
    model = transformer()
    adapt(model, SoftOptions(vectors=2), seed=3)
    document = np.array([[0] * 6 + [1] * 6], "int32")
    position = np.array([list(range(6)) * 2], "int32")
    packed = numbers(model.logits(X[:1], False, document, position))
    assert packed[:, :6] == pytest.approx(numbers(model.logits(X[:1, :6])), abs=1e-5)
    assert packed[:, 6:] == pytest.approx(numbers(model.logits(X[:1, 6:])), abs=1e-5)


@pytest.mark.parametrize("options", [SoftOptions(vectors=3), PrefixOptions(vectors=3)], ids=["soft", "prefix"])
def test_prompts_have_the_same_gradients_when_blocks_are_computed_again(options: Any) -> None:
    from genloom import backend

    found = []
    for remat in (False, True):
        model = transformer(remat=remat)
        adapt(model, options, seed=4)
        variables = model.training_phases()[0].resolve()
        loss = backend.value_and_grad(lambda model=model: (model.loss_of({"x": X})[0], ()), variables)
        found.append([numbers(gradient) for gradient in loss[1]])
    for plain, again in zip(*found, strict=True):
        assert np.abs(plain).max() > 1e-4
        assert again == pytest.approx(plain, abs=1e-6)


def trained(model: Any, steps: int = 60) -> list[float]:
    model.compile(keras.optimizers.Adam(0.03))
    batches = (({"x": X},) for _ in range(2 * steps))
    history = model.fit(batches, steps_per_epoch=steps, epochs=2, shuffle=False, verbose=0).history
    return [float(value) for value in history["loss"]]


KINDS = {
    "soft": SoftOptions(vectors=4),
    "prefix": PrefixOptions(vectors=4),
    "ia3": IA3Options(),
    "lora": LoRAOptions(rank=2, target="*query|*value"),
    "dora": DoRAOptions(rank=2),
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_every_kind_learns_beside_frozen_weights_and_is_saved_alone(options: Any, tmp_path: Path) -> None:
    model = transformer()
    frozen = {name: numbers(v.value).copy() for name, v in variable_names(model).items()}
    adapt(model, options, seed=5)
    untrained = float(numbers(model.loss_of({"x": X})[0]))
    losses = trained(model)
    assert losses[-1] < untrained - 0.02
    now = variable_names(model)
    assert all(np.array_equal(numbers(now[name].value), value) for name, value in frozen.items() if name != "step")
    learned = numbers(model.logits(X))
    file = save_adapters(model, tmp_path / "mine")
    again = transformer()
    load_adapters(again, file)
    assert numbers(again.logits(X)) == pytest.approx(learned, abs=1e-6)
    if isinstance(options, SoftOptions):
        with pytest.raises(ConfigError, match="cannot be merged"):
            merge(model)
    else:
        merge(model)
        assert numbers(model.logits(X)) == pytest.approx(learned, abs=1e-5)
    detach(again)
    assert numbers(again.logits(X)) == pytest.approx(numbers(transformer().logits(X)), abs=1e-6)


def test_imitation_is_the_divergence_of_softened_distributions() -> None:
    model, teacher = transformer(), Transformer(SPEC, seed=2, **SMALL)
    weight = np.random.default_rng(1).integers(0, 2, X.shape).astype("float32")
    found = float(numbers(model.distillation_loss({"x": X, "weight": weight}, teacher, 2.0)))

    def softened(of: Any) -> np.ndarray:
        z = numbers(of.logits(X[:, :-1])).astype("float64") / 2.0
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    p, q = softened(teacher), softened(model)
    each = (np.exp(p) * (p - q)).sum(-1)
    assert found == pytest.approx(4.0 * (each * weight[:, 1:]).sum() / weight[:, 1:].sum(), rel=1e-4)
    assert float(numbers(model.distillation_loss({"x": X}, model, 2.0))) == pytest.approx(0.0, abs=1e-6)


def test_a_run_with_a_prompt_is_opened_sampled_and_resumed(tmp_path: Path) -> None:
    settings = {
        "preset": "tiny",
        "batch_size": 4,
        "sample_every": 0,
        "progress": "none",
        "validation": 0.0,
        "warmup_steps": 0,
        "schedule": "constant",
    }
    data = "play?length=17&tokenizer=byte"
    base = genloom.train("language/transformer", data, steps=2, out=tmp_path / "base", **settings)
    asked = {**settings, "init_from": base.path, "adapt": "soft:vectors=4"}
    whole = genloom.train("language/transformer", data, steps=6, out=tmp_path / "whole", **asked)
    genloom.train("language/transformer", data, steps=3, out=tmp_path / "parts", **asked)
    parts = genloom.train("language/transformer", data, steps=6, out=tmp_path / "parts", resume=True, **asked)
    first, second = (numbers(genloom.load(run).prompt.inputs.value) for run in (whole, parts))
    assert np.array_equal(first, second)
    assert genloom.sample(whole, 2, temperature=0.0).samples.shape[0] == 2
    with pytest.raises(ConfigError, match="cannot be merged"):
        genloom.train("language/transformer", data, steps=2, init_from=whole.path, out=tmp_path / "x", **settings)
    distilled = {**settings, "init_from": base.path, "retain": "lwf:strength=0.5"}
    run = genloom.train("language/transformer", data, steps=3, out=tmp_path / "lwf", **distilled)
    assert next(iter(run.log()))["losses"]["retention"] > 0
    genloom.load(run)


def test_a_run_is_adapted_resumed_and_started_from(tmp_path: Path) -> None:
    settings = {"batch_size": 4, "sample_every": 0, "progress": "none", "preset": None, "validation": 0.0}
    options = {"layers": 1, "heads": 2, "width": 16}

    def train(out: str, **given: Any) -> Any:
        return genloom.train(
            "language/transformer", "play?length=17", options=options, out=tmp_path / out, **settings | given
        )

    run = train("base", steps=5)
    lora = "lora:rank=2,target=*query|*value"
    whole = train("whole", steps=6, init_from=run.path, adapt=lora)
    train("parts", steps=3, init_from=run.path, adapt=lora)
    parts = train("parts", steps=6, resume=True, adapt=lora)
    base, first, second = (
        {name: numbers(v.value) for name, v in variable_names(genloom.load(r, weights="trained")).items()}
        for r in (run, whole, parts)
    )
    adapters = {f"preparations/adapt/adapters/blocks.0.{name}/{part}" for name in ("query", "value") for part in "ab"}
    assert set(first) - set(base) == adapters
    assert all(np.array_equal(first[name], value) for name, value in base.items() if name != "step")
    assert all(np.array_equal(first[name], second[name]) for name in first)
    # Another training starts from what the adapted model computes.
    onward = train("onward", steps=0, init_from=whole.path)
    x = genloom.data.open("play?length=17").test.arrays(4)["x"]
    assert numbers(genloom.load(onward).nats(x)) == pytest.approx(numbers(genloom.load(whole).nats(x)), abs=1e-5)
    with pytest.raises(ConfigError, match="--init-from RUN"):
        train("nothing", steps=1, adapt=lora)
    # A dry run finds what the training would.
    with pytest.raises(ConfigError, match="not a run"):
        train("nothing", steps=1, init_from=tmp_path / "absent", dry_run=True)
    with pytest.raises(ConfigError, match="No linear layer"):
        train("nothing", steps=1, init_from=run.path, adapt="lora:target=none", dry_run=True)
    assert not (tmp_path / "nothing").exists()


def test_an_adapted_run_is_published_as_it_samples(tmp_path: Path) -> None:
    settings = {"steps": 2, "batch_size": 4, "sample_every": 0, "progress": "none"}
    model, data, options = "language/transformer", "play?length=9", {"layers": 1, "heads": 2, "width": 16}
    run = genloom.train(model, data, options=options, out=tmp_path / "run", **settings)
    asked = {"init_from": run.path, "adapt": "lora:rank=2"}
    adapted = genloom.train(model, data, options=options, out=tmp_path / "adapted", **asked, **settings)
    again = genloom.load(adopt(publish(adapted, tmp_path / "published"), tmp_path / "again"))
    x = genloom.data.open(data).test.arrays(4)["x"][:, :8]
    assert numbers(again.logits(x)) == pytest.approx(numbers(genloom.load(adapted).logits(x)), abs=1e-5)
    unmerged = transformer()
    adapt(unmerged, LoRAOptions(rank=2))
    with pytest.raises(ConfigError, match=r"has adapters\. Call model\.merge"):
        publish(unmerged, tmp_path / "other")
