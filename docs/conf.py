"""The site: `python -m nox -s site` makes it from the same Markdown files that a code host shows.

The root of the repository is the source directory, so a link such as `../README.md` leads to the same page on the
site as on the host.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# The pages of the API import every public module; what a Keras layer inherits depends on the engine.
os.environ["KERAS_BACKEND"] = "jax"

project = "GenLoom"
copyright = "the authors of GenLoom, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]

root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "docs/api/*.rst",  # made by autosummary from the list in docs/api.md
    "*.md",
    "benchmarks/README.md",
    "examples/**README.md",
    "plugins/*/README.md",
]
exclude_patterns = [".*", "runs", "site"]  # never walked through: environments, caches, what is made

# A heading can be linked to as on a code host: `page.md#the-heading`.
myst_heading_anchors = 3

# The public names of a module are those of its `__all__`, wherever they lie; one without a docstring is not shown.
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # the types of fields stand in the signature
# Docstrings put code between single backticks, as Markdown does.
default_role = "code"
smartquotes = False
add_module_names = False
highlight_language = "none"  # of listings that say none
python_maximum_signature_line_length = 90
# Every error that a docstring promises is on the site. The types of signatures are often of other libraries.
nitpick_ignore_regex = [("py:(class|obj|data)", ".*")]

templates_path = [str(Path(__file__).with_name("templates"))]
html_theme = "furo"
html_title = "GenLoom"
html_additional_pages = {"index": "to_the_docs.html"}
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#5b3fb5", "color-brand-content": "#5b3fb5"},
    "dark_css_variables": {"color-brand-primary": "#b7a3f5", "color-brand-content": "#b7a3f5"},
}

# A backslash before the end of a line: reStructuredText drops both.
NOTHING = "\\"
ARRAY = re.compile(r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[(.*?)\]\]")


def as_written(app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]) -> None:
    """Keep a star a star, and a colon in the text of a result or an attribute, where napoleon would see a type."""
    lines[:] = [re.sub(r"(`[^`]*`)|\*", lambda match: match[1] or r"\*", line) for line in lines]
    if what in ("attribute", "data", "property"):
        lines.insert(0, NOTHING)
    for at in reversed([at for at, line in enumerate(lines) if line in ("Returns:", "Yields:")]):
        lines.insert(at + 1, "    " + NOTHING)


def short(app: Sphinx, what: str, name: str, found: object, options: object, arguments: str, result: str) -> list[str]:
    """Write NDArray as the sources do, and a default that is made anew as three dots, which can be parsed."""
    return [
        ARRAY.sub(r"NDArray[\1]", text).replace("<factory>", "...") if text else text for text in (arguments, result)
    ]


def setup(app: Sphinx) -> None:
    """Rewrite docstrings before napoleon reads them, and signatures."""
    app.connect("autodoc-process-docstring", as_written, priority=400)
    app.connect("autodoc-process-signature", short)
