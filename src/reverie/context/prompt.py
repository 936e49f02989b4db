"""The system prompt: instructions, memory blocks, open files, tool rules, and what lies outside the context."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reverie.context.files import folder_facts, render_folders
from reverie.domain.agent import Agent
from reverie.domain.block import Block
from reverie.domain.conversation import Conversation
from reverie.domain.folder import AttachedFolder
from reverie.domain.inputs import ClientSkill

MEMORY_PLACEHOLDER: Final = "{CORE_MEMORY}"
"""Where older instructions want the memory; without it, memory follows the instructions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptInputs:
    """Everything a system prompt is compiled from."""

    agent: Agent
    conversation: Conversation
    blocks: Sequence[Block]
    folders: Sequence[AttachedFolder] = ()
    tool_rules: str | None
    """What the rules say, in words for the model; None: there are none."""
    passage_count: int
    """Passages in the agent's archives."""
    message_count: int
    """Messages the conversation ever had."""
    edited_at: datetime | None = None
    """When a block was last changed; None where there are none."""
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSections:
    """The parts of a system prompt, in their order; empty ones are left out of it."""

    instructions: str
    memory: str
    folders: str
    rules: str
    outside: str
    """What lies outside the context, and where and when the agent is."""

    def join(self) -> str:
        """The whole prompt."""
        rest = "\n\n".join(part for part in (self.memory, self.folders, self.rules, self.outside) if part)
        if MEMORY_PLACEHOLDER in self.instructions:
            return self.instructions.replace(MEMORY_PLACEHOLDER, rest)
        return f"{self.instructions}\n\n{rest}" if self.instructions else rest


def fingerprint(inputs: PromptInputs) -> str:
    """Tell prompts apart that must differ.

    The count of messages is left out: it changes with every message, and a prompt that changed
    with every message could not be cached by any provider. The date counts by day.
    """
    parts: list[object] = [
        inputs.agent.system,
        inputs.agent.id,
        inputs.conversation.id,
        inputs.agent.timezone,
        _local(inputs).date().isoformat(),
        inputs.tool_rules,
        inputs.passage_count,
        [(block.label, block.description, block.value, block.limit, block.read_only) for block in inputs.blocks],
    ]
    if inputs.folders:
        parts += [inputs.agent.max_files_open, inputs.agent.per_file_view_window_char_limit]
        parts += folder_facts(inputs.folders)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def compile_prompt(inputs: PromptInputs) -> str:
    """Return the text of the system prompt."""
    return sections_of(inputs).join()


def sections_of(inputs: PromptInputs) -> PromptSections:
    """The parts that the prompt is put together from."""
    return PromptSections(
        instructions=inputs.agent.system,
        memory=_memory(inputs.blocks) if inputs.blocks else "",
        folders=render_folders(inputs.agent, inputs.folders) if inputs.folders else "",
        rules=f"<tool_usage_rules>\n{inputs.tool_rules}\n</tool_usage_rules>" if inputs.tool_rules else "",
        outside=_metadata(inputs),
    )


def with_skills(prompt: str, skills: Sequence[ClientSkill]) -> str:
    """Add the capabilities that the client names for one request."""
    if not skills:
        return prompt
    lines = [f"- {skill.name} ({skill.location}): {skill.description}" for skill in skills]
    return f"{prompt}\n\n<available_skills>\n" + "\n".join(lines) + "\n</available_skills>"


def with_note(prompt: str, note: str | None) -> str:
    """Add what the model is told in one request only."""
    return prompt if note is None else f"{prompt}\n\n{note}"


def _memory(blocks: Sequence[Block]) -> str:
    rendered = "\n\n".join(_block(block) for block in blocks)
    head = "These blocks are your core memory. You see them at every step:"
    return f"<memory_blocks>\n{head}\n\n{rendered}\n</memory_blocks>"


def _block(block: Block) -> str:
    facts = [f"- chars_current={len(block.value)}", f"- chars_limit={block.limit}"]
    if block.read_only:
        facts.insert(0, "- read_only=true")
    description = f"<description>\n{block.description}\n</description>\n" if block.description else ""
    return (
        f"<{block.label}>\n{description}<metadata>\n"
        + "\n".join(facts)
        + f"\n</metadata>\n<value>\n{block.value}\n</value>\n</{block.label}>"
    )


def _metadata(inputs: PromptInputs) -> str:
    conversation = "default" if inputs.conversation.is_default else inputs.conversation.id
    lines = [
        f"- AGENT_ID: {inputs.agent.id}",
        f"- CONVERSATION_ID: {conversation}",
        f"- System prompt last recompiled: today, {_local(inputs):%A, %Y-%m-%d} ({inputs.agent.timezone})",
        f"- {inputs.message_count} earlier messages of this conversation are in recall memory (search it with tools)",
    ]
    if inputs.edited_at is not None:
        lines.insert(3, f"- Memory blocks were last changed at {_local(inputs, inputs.edited_at):%Y-%m-%d %H:%M:%S}")
    if inputs.passage_count:
        lines.append(f"- {inputs.passage_count} passages are stored in archival memory (search it with tools)")
    return "<memory_metadata>\n" + "\n".join(lines) + "\n</memory_metadata>"


def _local(inputs: PromptInputs, moment: datetime | None = None) -> datetime:
    moment = moment or inputs.now
    try:
        return moment.astimezone(ZoneInfo(inputs.agent.timezone))
    except (ZoneInfoNotFoundError, ValueError):
        return moment
