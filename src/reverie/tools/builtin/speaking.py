"""How agents of the older types speak."""

from typing import ClassVar

from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec
from reverie.tools.base import MemoryPort, StateTool
from reverie.tools.builtin import editing


class SendMessage(StateTool):
    """Says something to the user; the loop makes the assistant message of it."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="send_message",
        description="Say something to the user. It is the only way the user hears from you.",
        parameters=editing.schema(
            {"message": {"type": "string", "description": "What to say. Any Unicode, emoji too."}}, ["message"]
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        return "Sent"
