"""Compound values in JSON columns: the domain's dataclasses out, validated dataclasses in.

Writing needs no code: the JSON serialiser knows dataclasses.
"""

from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from reverie.domain.agent import CompactionSettings
from reverie.domain.events import Event
from reverie.domain.inputs import Request
from reverie.domain.message import Body
from reverie.domain.run import Usage
from reverie.domain.tool import PipRequirement
from reverie.domain.tool_rule import ToolRule

body_adapter: TypeAdapter[Body] = TypeAdapter(Annotated[Body, Field(discriminator="kind")])
usage_adapter: TypeAdapter[Usage] = TypeAdapter(Usage)
request_adapter: TypeAdapter[Request] = TypeAdapter(Request)
event_adapters: dict[str, TypeAdapter[Event]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Event)}
tool_rules_adapter: TypeAdapter[tuple[ToolRule, ...]] = TypeAdapter(
    tuple[Annotated[ToolRule, Field(discriminator="type")], ...]
)
compaction_adapter: TypeAdapter[CompactionSettings] = TypeAdapter(CompactionSettings)
requirements_adapter: TypeAdapter[tuple[PipRequirement, ...]] = TypeAdapter(tuple[PipRequirement, ...])
