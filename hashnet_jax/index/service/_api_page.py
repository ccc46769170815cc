"""Renders the operations of an OpenAPI document as HTML, without scripts from other sites."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from hashnet_jax.index.service._routes import PROBLEMS

Json = Mapping[str, Any]


def operations(document: Json) -> str:
    """Returns an HTML section for each operation of an OpenAPI document.

    Examples:
      >>> print(operations({"paths": {"/health": {"get": {"responses": {"200": {}}}}}}))
      <section><h2><code>GET /health</code></h2>
      <p></p>
      <BLANKLINE>
      <p class="statuses">Status: 200</p></section>
    """
    return "\n".join(
        _operation(document, f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )


def problem_table() -> str:
    """Returns an HTML table of error statuses and their meanings."""
    return _table((str(status), "", text) for status, text in PROBLEMS.items())


def _operation(document: Json, name: str, operation: Json) -> str:
    inputs = [*_parameters(operation), *_body(document, operation)]
    statuses = ", ".join(map(escape, operation["responses"]))
    return (
        f"<section><h2><code>{escape(name)}</code></h2>\n"
        f"<p>{escape(operation.get('description', ''))}</p>\n"
        f"{_table(inputs) if inputs else ''}\n"
        f'<p class="statuses">Status: {statuses}</p></section>'
    )


def _parameters(operation: Json) -> Iterator[tuple[str, str, str]]:
    for parameter in operation.get("parameters", ()):
        default = parameter["schema"].get("default")
        suffix = "" if default is None else f" Default: {default}."
        yield parameter["name"], parameter["in"], parameter.get("description", "") + suffix


def _body(document: Json, operation: Json) -> Iterator[tuple[str, str, str]]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = document["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
        for name, field in schema["properties"].items():
            yield name, kind, field.get("description", "")


def _table(rows: Any) -> str:
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(kind)}</td>'
        f"<td>{escape(text)}</td></tr>\n"
        for name, kind, text in rows
    )
    return f"<table>{cells}</table>"
