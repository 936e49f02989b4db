"""What callers can ask for about agent files."""

import asyncio
from contextlib import suppress
from dataclasses import replace

from sqlalchemy import Connection

from reverie.auth.cipher import Cipher, Unreadable
from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import Agent, AgentDetails
from reverie.domain.agent_file import AgentFile, FileAgent, FileSkill
from reverie.domain.errors import NotFound
from reverie.domain.ids import AgentId
from reverie.domain.secrecy import hiding, without
from reverie.operations.base import Operations
from reverie.operations.packing import PackOptions, pack, with_configs, with_members
from reverie.operations.unpacking import UnpackOptions, prepare_file, store_file
from reverie.storage import conversations
from reverie.storage.agent_file_codec import decode_text


async def export(
    ops: Operations, caller: Caller, agent_id: AgentId, options: PackOptions, skills: tuple[FileSkill, ...] = ()
) -> AgentFile:
    """The file of an agent and of the group that it manages. Names of its secrets are in it, their values never.

    Raises:
        NotFound: the agent does not exist, or the conversation is not one of the agent.
    """
    caller.require(Scope.READ)
    now = ops.clock()

    def read(c: Connection) -> tuple[list[AgentDetails], AgentFile]:
        found = with_members(c, caller.organization_id, agent_id)
        thread = options.conversation_id
        if thread is not None and conversations.get(c, caller.organization_id, thread).agent_id != agent_id:
            raise NotFound("conversation", thread, f"it is not one of agent {agent_id!r}")
        return found, pack(c, found, options, now)

    found, packed = await ops.database.read(read)
    pairs = zip(found, packed.agents, strict=True)
    discreet = tuple(_without_secrets(agent, details.agent, ops.cipher) for details, agent in pairs)
    file = await with_configs(ops, caller, replace(packed, agents=discreet))
    return replace(file, skills=skills)


def _without_secrets(packed: FileAgent, agent: Agent, cipher: Cipher) -> FileAgent:
    """The agent of a file without the secrets that its tools have let slip into their results."""
    secrets: dict[str, str] = {}
    for name, sealed in agent.sealed_secrets.items():
        with suppress(Unreadable):
            secrets[name] = cipher.decrypt(sealed, agent.id)
    hide = hiding(secrets)
    if hide is None:
        return packed
    messages = tuple(without(item, hide) if item.role == "tool" else item for item in packed.messages)
    return replace(packed, messages=messages)


async def import_file(ops: Operations, caller: Caller, text: bytes, options: UnpackOptions) -> list[AgentId]:
    """Make the agents of a file with all they need, or nothing; returns their ids in the file's order.

    Raises:
        InvalidInput: what is wrong with the file, and where.
        NotFound: a model that is not served here.
    """
    caller.require(Scope.WRITE)
    # Off the event loop: files hold whole histories.
    file = await asyncio.to_thread(decode_text, text)
    prepared = await prepare_file(ops, caller, file, options)
    made = await ops.database.write(lambda c: store_file(c, caller, file, prepared, options))
    if file.files:
        ops.ring("ingest")
    ops.ring("vectors")
    return [details.agent.id for details in made.agents]
