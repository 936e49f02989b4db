"""Compound values in JSON columns: the domain's dataclasses out, validated dataclasses in.

Writing needs no code: the JSON serialiser knows dataclasses.
"""

from typing import Annotated, Any, get_args

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
from reverie.domain.tool import PipRequirement
from reverie.domain.tool_rule import ToolRule

body_adapter: TypeAdapter[Body] = TypeAdapter(Annotated[Body, Field(discriminator="kind")])
usage_adapter: TypeAdapter[Usage] = TypeAdapter(Usage)
event_adapters: dict[str, TypeAdapter[Event]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Event)}
tool_rules_adapter: TypeAdapter[tuple[ToolRule, ...]] = TypeAdapter(
    tuple[Annotated[ToolRule, Field(discriminator="type")], ...]
)
compaction_adapter: TypeAdapter[CompactionSettings] = TypeAdapter(CompactionSettings)
said_adapter: TypeAdapter[tuple[SayInput, ...]] = TypeAdapter(tuple[SayInput, ...])
request_adapter: TypeAdapter[Request] = TypeAdapter(Request)
timing_adapter: TypeAdapter[Timing] = TypeAdapter(Timing)
sandbox_adapter: TypeAdapter[LocalSandbox] = TypeAdapter(LocalSandbox)
requirements_adapter: TypeAdapter[tuple[PipRequirement, ...]] = TypeAdapter(tuple[PipRequirement, ...])

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
    return body_adapter.validate_python(data)
