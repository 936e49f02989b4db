"""What docstrings say, in the manner of Google, NumPy or reST."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Doc:
    """A docstring, taken apart."""

    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_docstring(text: str | None) -> Doc:
    """Read `text`; where it follows no manner all of it is the description."""
    if not text:
        return Doc()
    parser = importlib.import_module("docstring_parser")  # loaded when the first tool is made
    try:
        parsed = parser.parse(text)
    except parser.ParseError:
        return Doc(description=text.strip())
    shown = [part.strip() for item in parsed.examples for part in (item.snippet, item.description) if part]
    examples = "\n".join(["Examples:", *shown]) if shown else None  # they are for whoever calls, as a model does
    parts = (parsed.short_description, parsed.long_description, examples)
    return Doc(
        description="\n\n".join(part.strip() for part in parts if part),
        parameters={item.arg_name: item.description.strip() for item in parsed.params if item.description},
    )
