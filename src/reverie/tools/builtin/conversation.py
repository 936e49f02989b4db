"""Search in what was said."""

import json
from typing import ClassVar, Final

from reverie.domain.json import JsonObject
from reverie.domain.message import Message, MessageKind, text_of
from reverie.domain.passage import SearchQuery
from reverie.domain.tool import ToolSpec
from reverie.tools.base import MemoryPort, StateTool, ToolServices
from reverie.tools.builtin import editing, times

DEFAULT_LIMIT: Final = 10
MOST: Final = 50
_EXCERPT_CHARS: Final = 4000

_ROLES: Final = {
    MessageKind.USER: "user",
    MessageKind.ASSISTANT: "assistant",
    MessageKind.TOOL_RETURN: "tool",
    MessageKind.SYSTEM: "system",
    MessageKind.SUMMARY: "summary",
}


class ConversationSearch(StateTool):
    """Finds earlier messages by meaning, words, role and time."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="conversation_search",
        description=(
            "Search your past conversations, also what is no longer in your context, by meaning and by words. "
            "Leave the query out to look only by role or time. Results are JSON, best first, with time and role."
        ),
        parameters=editing.schema(
            {
                "query": {"type": "string", "description": "What to look for, in plain words."},
                "roles": {
                    "type": "array",
                    "items": {"type": "string", "enum": ["assistant", "user", "tool"]},
                    "description": "Whose messages; left out: everyone's.",
                },
                "limit": {
                    "type": "integer",
                    "description": f"Most results, up to {MOST}; {DEFAULT_LIMIT} if left out.",
                },
                "start_date": {
                    "type": "string",
                    "description": "Only from this ISO 8601 date or time on, itself included.",
                },
                "end_date": {
                    "type": "string",
                    "description": "Only up to this ISO 8601 date or time, itself included.",
                },
            },
            [],
        ),
    )

    async def prepare(self, args: JsonObject, services: ToolServices) -> object:
        """The vector of the query, where there is a query."""
        query = args.get("query", "").strip()
        return await services.embed_for_messages(query) if query else None

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        zone = times.zone_of(memory.agent.timezone)
        found = memory.search_messages(
            SearchQuery(
                text=args.get("query", "").strip(),
                vector=prepared if isinstance(prepared, list | tuple) else None,
                limit=min(max(args.get("limit", DEFAULT_LIMIT), 1), MOST),
                start=times.read_bound(args.get("start_date"), "start_date", zone, end=False),
                end=times.read_bound(args.get("end_date"), "end_date", zone, end=True),
            ),
            args.get("roles", []),
        )
        results = [_result(message, times.write(message.created_at, zone)) for message in found]
        return json.dumps({"results": results}, ensure_ascii=False) if results else "No message matches."


def _result(message: Message, timestamp: str) -> JsonObject:
    text = text_of(message.body)
    if len(text) > _EXCERPT_CHARS:
        text = f"{text[:_EXCERPT_CHARS]} […{len(text) - _EXCERPT_CHARS} more characters]"
    return {"timestamp": timestamp, "role": _ROLES.get(message.kind, message.kind.value), "content": text}
