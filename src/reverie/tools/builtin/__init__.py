"""The built-in tools, and which of them an agent starts with."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, assert_never

from reverie.domain.agent import AgentType
from reverie.domain.tool import ToolType
from reverie.tools.base import BuiltinTool, PeerTool
from reverie.tools.builtin.archival import ArchivalMemoryInsert, ArchivalMemorySearch
from reverie.tools.builtin.blocks import (
    MemoryApplyPatch,
    MemoryFinishEdits,
    MemoryInsert,
    MemoryReplace,
    MemoryRethink,
)
from reverie.tools.builtin.conversation import ConversationSearch
from reverie.tools.builtin.core_memory import CoreMemoryAppend, CoreMemoryReplace, RethinkMemory
from reverie.tools.builtin.files import GrepFiles, OpenFiles, SemanticSearchFiles
from reverie.tools.builtin.omnibus import Memory
from reverie.tools.builtin.online import FetchWebpage, RunCode, WebSearch
from reverie.tools.builtin.peers import (
    SendMessageToAgentAndWaitForReply,
    SendMessageToAgentAsync,
    SendMessageToAgentsMatchingTags,
    SendMessageToAllAgentsInGroup,
)
from reverie.tools.builtin.speaking import SendMessage
from reverie.tools.builtin.voice import FinishRethinkingMemory, RethinkUserMemory, SearchMemory, StoreMemories

_ALL: Final[tuple[BuiltinTool, ...]] = (
    SendMessage(),
    ConversationSearch(),
    ArchivalMemoryInsert(),
    ArchivalMemorySearch(),
    MemoryInsert(),
    MemoryReplace(),
    MemoryRethink(),
    MemoryApplyPatch(),
    MemoryFinishEdits(),
    Memory(),
    CoreMemoryAppend(),
    CoreMemoryReplace(),
    RethinkMemory(),
    OpenFiles(),
    GrepFiles(),
    SemanticSearchFiles(),
    StoreMemories(),
    RethinkUserMemory(),
    FinishRethinkingMemory(),
    SearchMemory(),
    SendMessageToAgentAndWaitForReply(),
    SendMessageToAgentAsync(),
    SendMessageToAgentsMatchingTags(),
    SendMessageToAllAgentsInGroup(),
    WebSearch(),
    FetchWebpage(),
    RunCode(),
)

BUILTIN: Final[Mapping[str, BuiltinTool]] = MappingProxyType({tool.spec.name: tool for tool in _ALL})
"""Every built-in tool by name. Only what really runs is listed."""

FILE_TOOLS: Final = tuple(tool.spec.name for tool in _ALL if tool.tool_type is ToolType.FILES_CORE)
"""What an agent has as long as it has a folder."""

PEER_TOOLS: Final[Mapping[str, PeerTool]] = MappingProxyType(
    {name: tool for name, tool in BUILTIN.items() if isinstance(tool, PeerTool)}
)
"""Those that talk to other agents."""

_SEARCH: Final = ("conversation_search", "archival_memory_insert", "archival_memory_search")
_EDIT: Final = ("memory_insert", "memory_replace")


def base_tools(agent_type: AgentType, sleeptime: bool) -> tuple[str, ...]:
    """Names of the tools that `include_base_tools` gives an agent.

    With `sleeptime` another agent keeps the memory in order, so this one only searches.

    Source: the documented defaults of each agent type, read 2026-11.
    """
    speak = ("send_message",) if agent_type.speaks_through_tool else ()
    match agent_type:
        case AgentType.SLEEPTIME:
            return (*_EDIT, "memory_rethink", "memory_finish_edits")
        case AgentType.VOICE_SLEEPTIME:
            return ("store_memories", "rethink_user_memory", "finish_rethinking_memory")
        case AgentType.VOICE_CONVO:
            return ("search_memory",)
        case AgentType.REACT | AgentType.WORKFLOW:
            return ()
        case _ if sleeptime:
            return (*speak, "conversation_search", "archival_memory_search")
        case AgentType.LETTA_V1 | AgentType.MEMGPT_V2:
            return (*speak, *_SEARCH, *_EDIT)
        case AgentType.MEMGPT | AgentType.SPLIT_THREAD:
            return (*speak, *_SEARCH, "core_memory_append", "core_memory_replace")
        case impossible:
            assert_never(impossible)
