"""The type of what JSON can say.

Spelled `Any` inside: a recursive alias would make every reader of a client's free-form
metadata prove at each level what it is, and prevents nothing.
"""

from typing import Any, TypeAlias

JsonValue: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Any]
