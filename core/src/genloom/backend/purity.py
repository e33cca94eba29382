"""Notice writes to variables in functions that promise to be pure, whatever the backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from keras import StatelessScope

from genloom.errors import GenLoomError

__all__ = ["run_pure"]


def run_pure(fn: Callable[..., Any], args: tuple[Any, ...], mapping: Iterable[tuple[Any, Any]], owner: Any) -> Any:
    """Call `fn(*args)` with variables read from `mapping`; a write to a variable is an error that names it.

    Args:
        fn: function of tensors that may read variables.
        args: its arguments.
        mapping: (variable, value) pairs; a variable that is absent is read as it is.
        owner: the model whose variables are named in the error.

    Raises:
        GenLoomError: `fn` assigned to a variable.
    """
    scope = StatelessScope(state_mapping=list(mapping))
    before = dict(scope.state_mapping)
    with scope:
        result = fn(*args)
    written = {key for key, value in scope.state_mapping.items() if before.get(key) is not value}
    if written:
        names = sorted(v.path for v in owner.variables if id(v) in written) or ["a variable outside the model"]
        raise GenLoomError(
            f"draw() wrote to {', '.join(names)}.",
            mend="Sampling must be pure: call layers with training=False and keep caches in the loop's state.",
        )
    return result
