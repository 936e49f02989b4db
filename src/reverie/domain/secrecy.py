"""Texts without the secrets that somebody let slip into them."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

SHORTEST_SECRET: Final = 6
"""Shorter values stand in too many texts by chance to be taken out of all of them."""
_SHORTEST_LINE: Final = 16
"""Of a secret of many lines, such as a private key, each line that is at least so long is one too."""


def hiding(secrets: Mapping[str, str]) -> Callable[[str], str] | None:
    """What puts `[secret NAME]` in the place of each value of `secrets`, by name; None where there is none to hide."""
    marks: dict[str, str] = {}
    for name, value in secrets.items():
        if len(value) >= SHORTEST_SECRET:
            marks.update(dict.fromkeys(_forms(value), f"[secret {name}]"))
    if not marks:
        return None
    # The longest first: one secret may stand within another.
    found = sorted(marks.items(), key=lambda pair: -len(pair[0]))

    def hide(text: str) -> str:
        for value, mark in found:
            text = text.replace(value, mark)
        return text

    return hide


def without(value: Any, hide: Callable[[str], str]) -> Any:
    """`value`, of JSON or of records, with `hide` done to each text in it."""
    match value:
        case str():
            return hide(value)
        case list() | tuple():
            return type(value)(without(item, hide) for item in value)
        case dict():
            return {name: without(item, hide) for name, item in value.items()}
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = (field.name for field in dataclasses.fields(value) if field.init)
            return dataclasses.replace(value, **{name: without(getattr(value, name), hide) for name in names})
        case _:
            return value


def _forms(value: str) -> Iterator[str]:
    """How a value stands in texts: as it is, within JSON and quoted code, and within an address."""
    lines = value.splitlines()
    for part in (value, *(line for line in lines if len(line) >= _SHORTEST_LINE and len(lines) > 1)):
        yield from (part, json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1], repr(part)[1:-1])
        yield from (quote(part), quote(part, safe=""), quote_plus(part))
