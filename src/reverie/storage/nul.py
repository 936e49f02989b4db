"""The one character that PostgreSQL cannot store, taken out on the way to either database.

Models, tools and clients all produce NUL now and then. A message that cannot be stored would
fail the turn it belongs to, so the character is dropped, on SQLite too: one schema, one behaviour.
"""

import re
from typing import Any, Final

from sqlalchemy import Engine, event

_IN_JSON: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def clean_json(text: str) -> str:
    """JSON text without escaped NULs; an escaped backslash before `u0000` is left alone."""
    return _IN_JSON.sub(r"\1", text) if "\\u0000" in text else text


def clean_parameters_of(engine: Engine) -> None:
    """Take NULs out of every text that a statement on `engine` carries."""

    # Listened to where the driver is called: listening to connections costs each of them some work of its own.
    @event.listens_for(engine, "do_execute")
    def execute(cursor: Any, statement: str, parameters: Any, _context: object) -> bool:
        cursor.execute(statement, _clean(parameters))
        return True

    @event.listens_for(engine, "do_executemany")
    def execute_many(cursor: Any, statement: str, parameters: Any, _context: object) -> bool:
        cursor.executemany(statement, _clean(parameters))
        return True


def _clean(value: Any) -> Any:
    """`value` itself unless something in it has to change, which is next to never."""
    if isinstance(value, str):
        return value.replace("\x00", "") if "\x00" in value else value
    if isinstance(value, tuple | list):
        if value and type(value[0]) in (float, int):
            return value  # a vector, or places: hundreds of numbers
        fresh = [_clean(item) for item in value]
        return type(value)(fresh) if any(new is not old for new, old in zip(fresh, value, strict=True)) else value
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    return value
