"""Builds the documentation: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``.

Nothing is downloaded: the build uses no inventories from other projects, and the notebook trains on
the digits that ship with scikit-learn.
"""

import re
import typing
from importlib import metadata

# Makes jaxtyping show annotations as they are written: Float[Array, "B K"].
typing.GENERATING_DOCUMENTATION = "jaxtyping"

project = "hashnet_jax"
author = "The hashnet_jax authors"
copyright = f"2026, {author}"
version = release = metadata.version("hashnet_jax")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
]
exclude_patterns = ["_build"]
default_role = "literal"

html_theme = "furo"
html_title = f"hashnet_jax {version}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["custom.css"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False


def _skip_tuple_fields(app, what, name, member, skip, options):
    """Skips the fields of named tuples, which the class docstring describes under "Attributes"."""
    return True if type(member).__name__ == "_tuplegetter" else None


def _escape_bars(app, what, name, obj, options, lines):
    """Escapes bars outside examples and code, so that |S1| is not read as a substitution."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = line.strip() != "" and (in_example or line.lstrip().startswith(">>>"))
        if not in_example:
            parts = line.split("``")
            parts[::2] = [text.replace("|", r"\|") for text in parts[::2]]
            lines[i] = "``".join(parts)


# Unions are shown expanded; these patterns restore how the source writes them.
_TYPES = (
    (r"(?<![\w.~])jaxlib\._jax\.Array", "Array"),
    (r"(~jaxtyping\.\w+)\[Array, ('[^']*')\] \| \1\[ndarray, \2\]", r"\1[Array | ndarray, \2]"),
    (
        r"\[Array \| ndarray, ('[^']*')\] \| ~numpy\.number \| int \| float \| complex",
        r"[ArrayLike, \1]",
    ),
    (
        r"~[\w.]*\bArray \| ~numpy\.ndarray \| ~numpy\.bool \| ~numpy\.number"
        r" \| bool \| int \| float \| complex",
        "ArrayLike",
    ),
)


def _shorten(text):
    for pattern, replacement in _TYPES:
        text = re.sub(pattern, replacement, text)
    return text


def _rewrite_signature(app, what, name, obj, options, signature, returns):
    """Shortens types, and omits the signature (*args, **kwargs) of protocols."""
    if what == "class" and getattr(obj, "_is_protocol", False):
        return "", None
    return (signature and _shorten(signature), returns and _shorten(returns))


def setup(app):
    app.connect("autodoc-process-signature", _rewrite_signature)
    # Has to run before napoleon, which rewrites the sections.
    app.connect("autodoc-process-docstring", _escape_bars, priority=400)
    app.connect("autodoc-skip-member", _skip_tuple_fields)
