"""Memory tools around agents that talk by voice.

Source: the tools of type `letta_voice_sleeptime_core` as users of the API know them, read 2026-11.
"""

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final

from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject
from reverie.domain.message import text_of
from reverie.domain.passage import SearchQuery
from reverie.domain.tool import ToolSpec, ToolType
from reverie.tools.base import MemoryPort, StateTool, ToolServices
from reverie.tools.builtin import editing, times
from reverie.tools.builtin.blocks import rewrite

USER_LABEL: Final = "human"
_LIMIT: Final = 10
_LINE: Final = re.compile(r"^(\d+)\. (.*)$")


class StoreMemories(StateTool):
    """Keeps what leaves a conversation."""

    tool_type: ClassVar[ToolType] = ToolType.VOICE_SLEEPTIME_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="store_memories",
        description="Store parts of the conversation that is about to leave the agent's view, so that they are found.",
        parameters=editing.schema(
            {
                "chunks": {
                    "type": "array",
                    "description": "The parts, each a run of lines that belong together.",
                    "items": {
                        "type": "object",
                        "properties": {
                            "start_index": {"type": "integer", "description": "Number of the part's first line."},
                            "end_index": {"type": "integer", "description": "Number of its last line."},
                            "context": {
                                "type": "string",
                                "description": "One to three sentences on what it tells, written to be searched.",
                            },
                        },
                        "required": ["start_index", "end_index", "context"],
                    },
                }
            },
            ["chunks"],
        ),
    )

    async def prepare(self, args: JsonObject, services: ToolServices) -> object:
        """A vector of what each part is said to tell."""
        return [await services.embed(chunk["context"]) for chunk in args["chunks"]]

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        lines = _numbered(memory.heard())
        vectors = prepared if isinstance(prepared, list) else []
        for place, chunk in enumerate(args["chunks"]):
            first, last = chunk["start_index"], chunk["end_index"]
            if first > last or first not in lines or last not in lines:
                raise ToolError(
                    f"lines {first} to {last} are not in the conversation, whose lines are {min(lines, default=0)} to "
                    f"{max(lines, default=0)}; nothing was stored"
                )
            words = "\n".join(lines[number] for number in range(first, last + 1) if number in lines)
            vector = vectors[place] if place < len(vectors) else None
            memory.insert_passage(f"{chunk['context'].strip()}\n\n{words}", [], vector)
        return f"{len(args['chunks'])} parts are stored."


class RethinkUserMemory(StateTool):
    """Writes what is known of the user anew."""

    tool_type: ClassVar[ToolType] = ToolType.VOICE_SLEEPTIME_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="rethink_user_memory",
        description=(
            "Rewrite the memory block on the user: everything in it that still holds, with what is new worked in."
        ),
        parameters=editing.schema(
            {"new_memory": {"type": "string", "description": "The whole new text of the block."}}, ["new_memory"]
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        return rewrite(memory, USER_LABEL, args["new_memory"])


class FinishRethinkingMemory(StateTool):
    """Ends the work on memory."""

    tool_type: ClassVar[ToolType] = ToolType.VOICE_SLEEPTIME_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="finish_rethinking_memory",
        description="Say that the memory is as it should be.",
        parameters=editing.schema({}, []),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        return "Done."


class SearchMemory(StateTool):
    """Finds what is out of view, by what the user has just said."""

    tool_type: ClassVar[ToolType] = ToolType.VOICE_SLEEPTIME_CORE
    spec: ClassVar[ToolSpec] = ToolSpec(
        name="search_memory",
        description=(
            "Look for what was said or stored earlier, only when the user asks about something that is not in view. "
            "What the user has just said is searched for by itself."
        ),
        parameters=editing.schema(
            {
                "convo_keyword_queries": {
                    "type": ["array", "null"],
                    "items": {"type": "string"},
                    "description": "More words to look for in earlier conversations, such as names; null for none.",
                },
                "start_minutes_ago": {
                    "type": ["integer", "null"],
                    "description": "Only what was said up to so many minutes ago; null for no such bound.",
                },
                "end_minutes_ago": {
                    "type": ["integer", "null"],
                    "description": "Only what was said since so many minutes ago; null for no such bound.",
                },
            },
            ["convo_keyword_queries", "start_minutes_ago", "end_minutes_ago"],
        ),
    )

    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """See `StateTool.apply`."""
        newest, oldest = args.get("start_minutes_ago"), args.get("end_minutes_ago")
        if newest is not None and oldest is not None and newest > oldest:
            newest, oldest = oldest, newest
        start = None if oldest is None else memory.now - timedelta(minutes=oldest)
        end = None if newest is None else memory.now - timedelta(minutes=newest)
        zone = times.zone_of(memory.agent.timezone)
        said = memory.heard().strip()
        stored = memory.search_passages(SearchQuery(text=said, limit=_LIMIT, start=start, end=end), {})
        results: list[JsonObject] = [
            {"timestamp": times.write(item.created_at, zone), "from": "archive", "content": item.text}
            for item in stored
        ]
        seen: set[str] = set()
        for words in args.get("convo_keyword_queries") or [said]:
            query = SearchQuery(text=words.strip(), vector=None, limit=_LIMIT, start=start, end=end)
            for message in memory.search_messages(query, _ROLES):
                text = text_of(message.body)
                if message.id in seen or text.strip() == said:
                    continue
                seen.add(message.id)
                moment = times.write(message.created_at, zone)
                results.append({"timestamp": moment, "from": message.kind.value, "content": text})
        return json.dumps({"results": results}, ensure_ascii=False) if results else "Nothing was found."


_ROLES: Final[Sequence[str]] = ("user", "assistant")


def _numbered(text: str) -> dict[int, str]:
    """The numbered lines of a conversation that was handed over as text."""
    found = (_LINE.match(line) for line in text.split("\n"))
    return {int(line[1]): line[2] for line in found if line is not None}
