"""Long-term memory that is searched."""

import json
from collections.abc import Mapping
from typing import ClassVar, Final

from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject
from reverie.domain.passage import SearchQuery
from reverie.domain.tool import ToolSpec
from reverie.tools.base import MemoryPort, StateTool, ToolServices
from reverie.tools.builtin import editing, times

DEFAULT_LIMIT: Final = 10
MOST: Final = 100


class ArchivalMemoryInsert(StateTool):
    """Adds a passage."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="archival_memory_insert",
        description=(
            "Put a text into your long-term archive, where it stays for good and is found by searching. "
            "Write it so that it can be understood on its own; tags make it easier to find."
        ),
        parameters=editing.schema(
            {
                "content": {"type": "string", "description": "The text to keep."},
                "tags": {"type": "array", "items": {"type": "string"}, "description": "Categories of the text."},
            },
            ["content"],
        ),
    )

    async def prepare(self, args: JsonObject, services: ToolServices) -> object:
        """The text's vector."""
        return await services.embed(args["content"])

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        if not args["content"].strip():
            raise ToolError("content is empty; there is nothing to keep")
        tags = args.get("tags", [])
        memory.insert_passage(args["content"], tags, prepared if isinstance(prepared, list | tuple) else None)
        return f"Kept in the archive{', tagged ' + ', '.join(tags) if tags else ''}."


class ArchivalMemorySearch(StateTool):
    """Finds passages by meaning, words, tags and time."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="archival_memory_search",
        description=(
            "Search your long-term archive by meaning and by words. Describe what you look for; narrow it by tags or "
            "time where you can. Results are JSON, best first, with time, tags and text."
        ),
        parameters=editing.schema(
            {
                "query": {"type": "string", "description": "What to look for, in plain words."},
                "tags": {"type": "array", "items": {"type": "string"}, "description": "Only texts with these tags."},
                "tag_match_mode": {
                    "type": "string",
                    "enum": ["any", "all"],
                    "description": "Whether one of the tags is enough (any, the default) or all are needed.",
                },
                "top_k": {
                    "type": "integer",
                    "description": f"Most results, up to {MOST}; {DEFAULT_LIMIT} if left out.",
                },
                "start_datetime": {
                    "type": "string",
                    "description": "Only from this ISO 8601 date or time on, itself included.",
                },
                "end_datetime": {
                    "type": "string",
                    "description": "Only up to this ISO 8601 date or time, itself included.",
                },
            },
            ["query"],
        ),
    )

    async def prepare(self, args: JsonObject, services: ToolServices) -> object:
        """The query's vectors, by embedding model."""
        return await services.embed_for_passages(args["query"]) if args["query"].strip() else {}

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        zone = times.zone_of(memory.agent.timezone)
        found = memory.search_passages(
            SearchQuery(
                text=args["query"].strip(),
                limit=min(max(args.get("top_k", DEFAULT_LIMIT), 1), MOST),
                tags=tuple(args.get("tags", [])),
                match_all_tags=args.get("tag_match_mode", "any") == "all",
                start=times.read_bound(args.get("start_datetime"), "start_datetime", zone, end=False),
                end=times.read_bound(args.get("end_datetime"), "end_datetime", zone, end=True),
            ),
            prepared if isinstance(prepared, Mapping) else {},
        )
        results = [
            {"timestamp": times.write(item.created_at, zone), "tags": list(item.tags), "content": item.text}
            for item in found
        ]
        return json.dumps({"results": results}, ensure_ascii=False) if results else "Nothing in the archive matches."
