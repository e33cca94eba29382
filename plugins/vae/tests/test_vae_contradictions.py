"""Options that contradict each other are refused before anything is built."""

from __future__ import annotations

from typing import Any

import pytest

from genloom.errors import ConfigError
from genloom.options import configure
from genloom_vae.options import IWAEOptions, MLPOptions, RAEOptions, WAEOptions

pytestmark = pytest.mark.any_engine

REFUSED: list[tuple[type, dict[str, Any], str]] = [
    (MLPOptions, {"beta": 0.0, "free_bits": 0.1}, "floors a KL term of weight beta=0"),
    (MLPOptions, {"beta": 0.0, "annealing": "linear"}, "anneals a weight that is beta=0"),
    (MLPOptions, {"tc": 1.0, "latent": 1}, "needs two dimensions at least"),
    (MLPOptions, {"tc": 1.0, "tc_by": "critic", "adversarial": 1.0}, "both need the one critic"),
    (MLPOptions, {"posterior": "sphere"}, "prior=mixture has not"),
    (MLPOptions, {"posterior": "sphere", "prior": "uniform", "latent": 2}, "posterior=sphere needs latent=3"),
    (MLPOptions, {"posterior": "flow", "tc": 1.0}, "posterior=flow has none"),
    (MLPOptions, {"posterior": "point", "prior": "standard", "free_bits": 1.0}, "no KL for free_bits to floor"),
    (MLPOptions, {"posterior": "point"}, "shrink onto single codes without end"),
    (MLPOptions, {"prior": "uniform"}, "prior=uniform is one on the sphere"),
    (MLPOptions, {"prior": "vamp", "posterior": "flow"}, "prior=vamp is a mixture of"),
    (MLPOptions, {"prior": "flow", "latent": 1}, "prior=flow needs latent=2"),
    (RAEOptions, {"prior": "standard"}, "has nothing to fit in prior=standard"),
    (IWAEOptions, {"beta": 2.0, "mmd": 1.0}, r"has no term for mmd=1.0, beta=2.0"),
    (IWAEOptions, {"posterior": "point", "prior": "standard"}, "posterior=point gives none"),
    (IWAEOptions, {"posterior": "flow", "gradient": "dreg"}, "posterior=flow gives none"),
    (IWAEOptions, {"bound": "piwae", "gradient": "dreg"}, "gradient=dreg is that of bound=iwae"),
    (IWAEOptions, {"bound": "piwae", "draws": 7}, "draws=7 cannot be cut into groups=2"),
]


@pytest.mark.parametrize(("options", "given", "message"), REFUSED)
def test_a_contradiction_is_refused_with_what_to_do(options: type, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        configure(options, given)
    assert str(raised.value).rstrip().endswith("."), "the mend"


@pytest.mark.parametrize("options", [MLPOptions, IWAEOptions, WAEOptions, RAEOptions])
def test_the_defaults_agree_with_each_other(options: type) -> None:
    assert configure(options) == options()
    changed: Any = configure(options, {"prior": "flow", "prior_fit": "joint", "posterior": "gaussian"})
    assert (changed.prior, changed.posterior) == ("flow", "gaussian")
