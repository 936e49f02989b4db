"""What custom tools are handed of their agent as `agent_state`, and what becomes of their edits there."""

from dataclasses import replace

from sqlalchemy import Connection

from reverie.domain.agent import AgentDetails
from reverie.domain.block import Block
from reverie.domain.content import TextPart
from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject
from reverie.domain.tool import Tool
from reverie.loop.memory import TransactionMemory
from reverie.loop.state import View
from reverie.tools.base import AGENT_STATE, BlockEdit, ToolOutcome


def handed(tool: Tool, details: AgentDetails) -> JsonObject | None:
    """The agent by the API's names, for a tool whose source speaks of `agent_state`; None for others."""
    if AGENT_STATE not in (tool.source_code or ""):
        return None
    agent = details.agent
    return {
        "id": agent.id,
        "name": agent.name,
        "agent_type": agent.agent_type,
        "system": agent.system,
        "model": agent.model,
        "embedding": agent.embedding,
        "description": agent.description,
        "metadata": agent.metadata,
        "tags": list(agent.tags),
        "timezone": agent.timezone,
        "message_ids": list(agent.message_ids or ()),
        "identity_ids": [identity.id for identity in details.identities],
        "project_id": agent.project_id,
        "template_id": agent.template_id,
        "created_at": agent.created_at.isoformat(),
        "blocks": [_block(block) for block in details.blocks],
        "tools": [_tool(item) for item in details.tools],
    }


def _block(block: Block) -> JsonObject:
    return {
        "id": block.id,
        "label": block.label,
        "value": block.value,
        "limit": block.limit,
        "description": block.description,
        "read_only": block.read_only,
        "metadata": block.metadata,
        "tags": list(block.tags),
    }


def _tool(tool: Tool) -> JsonObject:
    return {
        "id": tool.id,
        "name": tool.name,
        "description": tool.spec.description,
        "tool_type": tool.tool_type,
        "tags": list(tool.tags),
    }


def with_edits(view: View, outcome: ToolOutcome) -> View:
    """`view` as the calls after this one in the same reply are to see it."""
    if not outcome.edits:
        return view
    values = {edit.label: edit.after for edit in outcome.edits}
    blocks = tuple(replace(block, value=values.get(block.label, block.value)) for block in view.details.blocks)
    return replace(view, details=replace(view.details, blocks=blocks))


def store_edits(c: Connection, memory: TransactionMemory, tool_name: str, outcome: ToolOutcome) -> ToolOutcome:
    """Write what a tool changed in the memory it was handed, all or nothing; what refuses it is the result."""
    if not outcome.edits:
        return outcome
    memory.acting_as(tool_name)
    try:
        with c.begin_nested():
            for edit in outcome.edits:
                _write(memory, edit)
    except ToolError as error:
        text = f"{tool_name} ran, but what it changed in your memory was not kept: {error}"
        return replace(outcome, status="error", content=(TextPart(text=text),), value=None)
    return outcome


def _write(memory: TransactionMemory, edit: BlockEdit) -> None:
    now = memory.block(edit.label).value
    if now != edit.before:  # by another agent, a caller, or a memory tool beside it in the same reply
        raise ToolError(f"memory block {edit.label!r} was changed by somebody else meanwhile. It now reads:\n{now}")
    memory.write_block(edit.label, edit.after)
