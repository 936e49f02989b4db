"""Tools that talk to other agents.

Source: the tools of type `letta_multi_agent_core` as users of the API know them, read 2026-11.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import ClassVar, Final

from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec
from reverie.tools.base import Peers, PeerTool
from reverie.tools.builtin import editing

AT_ONCE: Final = 8
"""Agents that one call asks side by side."""
_MESSAGE: Final[JsonObject] = {"type": "string", "description": "What to say. Your id is added to it by itself."}
_AGENT: Final[JsonObject] = {"type": "string", "description": "Id of the other agent, such as 'agent-…'."}


class SendMessageToAgentAndWaitForReply(PeerTool):
    """Asks one agent."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="send_message_to_agent_and_wait_for_reply",
        description="Send a message to another agent and wait for what it answers.",
        parameters=editing.schema({"message": _MESSAGE, "other_agent_id": _AGENT}, ["message", "other_agent_id"]),
    )

    async def run(self, args: JsonObject, peers: Peers) -> str:
        """See `PeerTool.run`."""
        agent_id = args["other_agent_id"]
        return _shown({"agent_id": agent_id, "response": list(await peers.ask(agent_id, args["message"]))})


class SendMessageToAgentAsync(PeerTool):
    """Tells one agent."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="send_message_to_agent_async",
        description=(
            "Send a message to another agent without waiting for an answer. If it has something to say to you, it "
            "sends you a message of its own later."
        ),
        parameters=editing.schema({"message": _MESSAGE, "other_agent_id": _AGENT}, ["message", "other_agent_id"]),
    )

    async def run(self, args: JsonObject, peers: Peers) -> str:
        """See `PeerTool.run`."""
        taken = await peers.tell(args["other_agent_id"], args["message"])
        return "Successfully sent message" if taken else "The agent is busy; it gets the message when it is free."


class SendMessageToAgentsMatchingTags(PeerTool):
    """Asks all agents of some tags."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="send_message_to_agents_matching_tags",
        description=(
            "Send a message to every other agent that has all tags of match_all and at least one of match_some, and "
            "wait for their answers. An empty list asks for nothing; not both may be empty."
        ),
        parameters=editing.schema(
            {
                "message": _MESSAGE,
                "match_all": {"type": "array", "items": {"type": "string"}, "description": "Tags they must all have."},
                "match_some": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Tags of which one is enough.",
                },
            },
            ["message", "match_all", "match_some"],
        ),
    )

    async def run(self, args: JsonObject, peers: Peers) -> str:
        """See `PeerTool.run`."""
        match_all, match_some = args["match_all"], args["match_some"]
        if not match_all and not match_some:
            raise ToolError("name at least one tag in match_all or match_some; a message to everybody is not sent")
        return await _ask_all(peers, await peers.tagged(match_all, match_some), args["message"])


class SendMessageToAllAgentsInGroup(PeerTool):
    """Asks the members of the group."""

    spec: ClassVar[ToolSpec] = ToolSpec(
        name="send_message_to_all_agents_in_group",
        description="Send a message to every other agent of your group and wait for their answers.",
        parameters=editing.schema({"message": _MESSAGE}, ["message"]),
    )

    async def run(self, args: JsonObject, peers: Peers) -> str:
        """See `PeerTool.run`."""
        return await _ask_all(peers, await peers.members(), args["message"])


async def _ask_all(peers: Peers, agent_ids: Sequence[str], text: str) -> str:
    """Everybody's answers; one that cannot answer has its reason there and hinders no other."""
    turnstile = asyncio.Semaphore(AT_ONCE)

    async def ask(agent_id: str) -> JsonObject:
        async with turnstile:
            try:
                return {"agent_id": agent_id, "response": list(await peers.ask(agent_id, text))}
            except ToolError as error:
                return {"agent_id": agent_id, "error": str(error)}

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(agent_id)) for agent_id in agent_ids]
    return _shown([task.result() for task in tasks])


def _shown(result: object) -> str:
    return json.dumps(result, ensure_ascii=False)
