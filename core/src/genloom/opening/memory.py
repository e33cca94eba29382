"""Want of memory, said as one error instead of an engine's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from genloom.errors import RunError

__all__ = ["within_memory"]


@contextlib.contextmanager
def within_memory(what: str, mend: str) -> Iterator[None]:
    """Say what did not fit, when what stands inside ran out of memory; other errors pass.

    Args:
        what: as a sentence begins, such as "The model".
        mend: what makes it smaller.

    Raises:
        RunError: the memory of the machine or of its accelerator was not enough.
    """
    from genloom import backend

    try:
        yield
    except Exception as error:
        if not backend.ran_out_of_memory(error):
            raise
        words = str(error).strip().partition("\n")[0][:200]
        raise RunError(f"{what} does not fit into memory: {words or type(error).__name__}.", mend=mend) from error
