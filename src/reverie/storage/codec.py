"""Compound values in JSON columns: the domain's dataclasses out, validated dataclasses in.

Writing needs no code: the JSON serialiser knows dataclasses.
"""

from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar, get_args

import orjson
from pydantic import Field, TypeAdapter

from reverie.domain.agent import CompactionSettings
from reverie.domain.content import TextPart
from reverie.domain.events import Event
from reverie.domain.inputs import Request, SayInput
from reverie.domain.message import AssistantBody, Body, UserBody
from reverie.domain.run import Usage
from reverie.domain.sandbox import LocalSandbox
from reverie.domain.schedule import Timing
from reverie.domain.template import MigrationRules
from reverie.domain.tool import PipRequirement
from reverie.domain.tool_rule import ToolRule

T = TypeVar("T")


class Load(Generic[T]):
    """Makes values of one type from what a column holds. Its checks are made for the first one, not at the start."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __call__(self, held: Any) -> T:
        """The value.

        Raises:
            ValidationError: the column holds something else.
        """
        return self._adapter.validate_python(held)

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self._kind)


load_body: Load[Body] = Load(Annotated[Body, Field(discriminator="kind")])
load_usage: Load[Usage] = Load(Usage)
load_event: dict[str, Load[Event]] = {kind.__name__: Load(kind) for kind in get_args(Event)}
"""By the name of the event's type."""
load_tool_rules: Load[tuple[ToolRule, ...]] = Load(tuple[Annotated[ToolRule, Field(discriminator="type")], ...])
load_compaction: Load[CompactionSettings] = Load(CompactionSettings)
load_said: Load[tuple[SayInput, ...]] = Load(tuple[SayInput, ...])
load_request: Load[Request] = Load(Request)
load_timing: Load[Timing] = Load(Timing)
load_sandbox: Load[LocalSandbox] = Load(LocalSandbox)
load_migration_rules: Load[MigrationRules] = Load(MigrationRules)
load_requirements: Load[tuple[PipRequirement, ...]] = Load(tuple[PipRequirement, ...])

_WORDS: dict[str, type[UserBody] | type[AssistantBody]] = {"user": UserBody, "assistant": AssistantBody}


def body_of(held: str | dict[str, Any]) -> Body:
    """The body that a row's JSON holds: text on SQLite, decoded by the driver already on PostgreSQL.

    One text of a user or an assistant is what most messages of a long context are, and is made
    by hand; everything else goes through the adapter.
    """
    data: dict[str, Any] = orjson.loads(held) if isinstance(held, str) else held
    words = _WORDS.get(data["kind"])
    if words is not None:
        parts = data["parts"]
        if len(parts) == 1 and parts[0]["type"] == "text":
            return words(parts=(TextPart(text=parts[0]["text"]),))
    return load_body(data)
