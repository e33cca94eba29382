"""`publish`: from a run to a folder that AutoModelForCausalLM of the library transformers opens."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import genloom
from genloom import Run
from genloom.errors import ConfigError
from genloom.files.atomic import make_folder, write_arrays, writing
from genloom.model.naming import variable_names
from genloom_language.model import Transformer
from genloom_language.published.files import CONFIG, TENSORS
from genloom_language.published.formats import Format, counterpart
from genloom_language.published.target import HEAD, POSITIONS, Target
from genloom_language.tokens import FILE, opening

__all__ = ["publish"]


def publish(source: Run | str | Path | Transformer, folder: str | Path) -> Path:
    """Write config.json, model.safetensors and tokenizer.json in the format of GPT-2 or Llama.

    Args:
        source: a run, of which the averaged weights are taken where it has them, with its adapters merged in; or a
            transformer, which has a tokenizer if it was loaded from a run.
        folder: absent or empty.

    Returns:
        The folder.

    Raises:
        ConfigError: the folder is taken, it is no transformer, or one with an option that neither format has.
        RunError: the folder cannot be written.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{str(target)!r} is there already.", mend="Choose another --out.")
    model = _model(source)
    form = counterpart(model.options)
    vocabulary, context = int(model.spec.vocabulary), model.length - 1
    arrays = _published(model, form, form.targets(model.options, vocabulary, context))
    head = {"architectures": [form.architecture], "model_type": form.name, "dtype": "float32"}
    config = {**head, "vocab_size": vocabulary, form.context: context, **form.keys(model.options)}
    texts = {CONFIG: json.dumps({**config, **_special(model)}, indent=2) + "\n"}
    if model.tokenizer is not None:
        how = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context}
        texts |= {FILE: model.tokenizer.to_str(), "tokenizer_config.json": json.dumps(how, indent=2) + "\n"}
    _write(target, texts, arrays)
    return target


def _model(source: Run | str | Path | Transformer) -> Transformer:
    model: Any = genloom.load(source) if isinstance(source, (Run, str, Path)) else source
    if not isinstance(model, Transformer):
        raise ConfigError(
            f"{type(model).__name__} has no counterpart among published models.", mend="Give a language/transformer."
        )
    if model.preparations:
        if model is source:
            raise ConfigError("This model has adapters.", mend="Call model.merge(), or give the run.")
        model.merge()
    return model


def _published(model: Transformer, form: Format, targets: Mapping[str, Target]) -> dict[str, NDArray[np.float32]]:
    """Return the tensors by their whole names."""
    from keras import ops

    weights = {name: np.asarray(ops.convert_to_numpy(v.value), np.float32) for name, v in variable_names(model).items()}
    found = {}
    for name, target in targets.items():
        array = np.concatenate([_weight(weights, own) for own in target.ours], axis=-1)
        if target.ours == (POSITIONS,):
            array = array[:-1]  # a window's last token is predicted only
        whole = name if name == HEAD else form.prefix + name
        found[whole] = np.ascontiguousarray(array.T if target.turned else array)
    return found


def _weight(weights: Mapping[str, NDArray[np.float32]], name: str) -> NDArray[np.float32]:
    """Return a weight; a bias that the model lacks and the format has is zero."""
    if name in weights:
        return weights[name]
    layer, _, part = name.rpartition("/")
    beside = weights[f"{layer}/kernel" if part == "bias" else f"{layer}/scale"]
    return np.zeros(beside.shape[-1], np.float32)


def _special(model: Transformer) -> dict[str, Any]:
    """Return the tokens by which transformers begins and ends a text; null, for its defaults are those of others."""
    begin, ends = [] if model.tokenizer is None else opening(model.tokenizer), list(model.ends)
    end = ends if len(ends) > 1 else next(iter(ends), None)
    return {"bos_token_id": begin[0] if begin else None, "eos_token_id": end, "pad_token_id": None}


def _write(target: Path, texts: Mapping[str, str], arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Write a folder whole or not at all."""
    make_folder(target.parent)
    draft = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with writing(target):
            draft.mkdir()
            for name, text in texts.items():
                (draft / name).write_text(text, "utf-8")
            write_arrays(arrays, draft / TENSORS, metadata={"format": "pt"})  # which transformers insists on
            os.replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
