"""Write docs/hooks.md from `genloom/hookspecs.py`: `python docs/make_hooks.py`; a test compares the two."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genloom import hookspecs
from genloom.plugins.offers import SampleRequest

PAGE = Path(__file__).with_name("hooks.md")
HEAD = f"""# The hooks

Made by `python docs/make_hooks.py` from `genloom/hookspecs.py`: the whole extension API, version
{hookspecs.API_VERSION}.

A plugin is a light module named by an entry point of the group `{hookspecs.GROUP}`; its functions of these names carry
`@genloom.hookimpl`. An implementation names only the arguments that it uses, so a hook may gain arguments and no plugin
breaks: see [compatibility](compatibility.md). A hook of another name is reported with the nearest one.

Every plugin is called, one at a time; one that raises is reported in one warning, and the others go on.
"""


def hooks() -> dict[str, Callable[..., Any]]:
    """Return the hooks by name, in the order of the page."""
    return {name: found for name, found in vars(hookspecs).items() if name.startswith("genloom_")}


def section(name: str, hook: Callable[..., Any]) -> Iterator[str]:
    """Yield a hook's lines: its signature, what it is for, and how its results are taken."""
    signature = str(inspect.signature(hook)).replace("'", "")
    yield f"\n## {name}\n\n```python\n@genloom.hookimpl\ndef {name}{signature}: ...\n```\n\n{inspect.getdoc(hook)}"
    if getattr(hook, f"{hookspecs.GROUP}_spec")["firstresult"]:
        yield "\nThe first result that is not None counts."


def page() -> str:
    """Return the whole page."""
    request = inspect.getdoc(SampleRequest) or ""
    lines = [line for name, hook in hooks().items() for line in section(name, hook)]
    return "\n".join([HEAD.rstrip(), *lines, f"\n## SampleRequest\n\n```text\n{request}\n```"]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
