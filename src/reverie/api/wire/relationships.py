"""What of an agent's surroundings an answer is to hold."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

Relationship: TypeAlias = Literal[
    "agent.blocks",
    "agent.identities",
    "agent.managed_group",
    "agent.pending_approval",
    "agent.secrets",
    "agent.sources",
    "agent.tags",
    "agent.tools",
]
ALL_RELATIONSHIPS: Final[frozenset[str]] = frozenset(
    {"blocks", "identities", "managed_group", "pending_approval", "secrets", "sources", "tags", "tools"}
)
_OLD_NAMES: Final = {
    "memory": "blocks",
    "multi_agent_group": "managed_group",
    "tool_exec_environment_variables": "secrets",
    "identity_ids": "identities",
}


def wanted_relationships(
    include: Sequence[str] | None, include_relationships: Sequence[str] | None, is_sdk: bool
) -> frozenset[str]:
    """Which relationships an answer is filled with.

    The present SDKs name what they want and get nothing else; callers before them get all,
    unless they narrow it. `is_sdk`: the caller is a present SDK, at an operation where it can name them.
    """
    if include:
        return frozenset(name.removeprefix("agent.") for name in include)
    if include_relationships is not None:
        return frozenset(_OLD_NAMES.get(name, name) for name in include_relationships)
    return frozenset() if is_sdk else ALL_RELATIONSHIPS
