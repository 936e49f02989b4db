"""The tables, one module for each part of the house.

`seq` is the order of insertion: pages are cut by it, so a page's cost does not depend on its
depth and rows added meanwhile do not shift it. `id` is what the API shows.
"""

from reverie.storage.schema.accounts import access_grants, access_tokens, api_keys, organizations, providers
from reverie.storage.schema.agents import (
    agent_blocks,
    agent_identities,
    agent_openings,
    agent_tags,
    agent_tools,
    agents,
    block_changes,
    block_identities,
    blocks,
    identities,
    tool_bits,
    tool_blocks,
    tool_vectors,
    tools,
)
from reverie.storage.schema.archives import (
    agent_archives,
    archives,
    passage_bits,
    passage_blocks,
    passage_tags,
    passage_vectors,
    passage_vectors_due,
    passages,
)
from reverie.storage.schema.base import metadata
from reverie.storage.schema.conversations import (
    conversations,
    message_bits,
    message_blocks,
    message_vectors,
    message_vectors_due,
    messages,
    open_approvals,
    run_events,
    runs,
    steps,
    waiting,
    workers,
)
from reverie.storage.schema.environments import environment_deliveries, environments
from reverie.storage.schema.folders import (
    agent_files,
    agent_folders,
    file_contents,
    file_passage_bits,
    file_passage_blocks,
    file_passage_vectors,
    file_passages,
    files,
    folders,
)
from reverie.storage.schema.groups import group_agents, group_blocks, group_turns, groups
from reverie.storage.schema.jobs import batch_items, batches, callbacks
from reverie.storage.schema.mcp import mcp_servers, mcp_sessions, mcp_tools
from reverie.storage.schema.projects import projects
from reverie.storage.schema.sandboxes import sandbox_configs, sandbox_variables
from reverie.storage.schema.schedules import schedules
from reverie.storage.schema.templates import deployments, template_versions, templates
from reverie.storage.schema.token_ratios import token_ratios
from reverie.storage.schema.traces import provider_traces

__all__ = [
    "access_grants",
    "access_tokens",
    "agent_archives",
    "agent_blocks",
    "agent_files",
    "agent_folders",
    "agent_identities",
    "agent_openings",
    "agent_tags",
    "agent_tools",
    "agents",
    "api_keys",
    "archives",
    "batch_items",
    "batches",
    "block_changes",
    "block_identities",
    "blocks",
    "callbacks",
    "conversations",
    "deployments",
    "environment_deliveries",
    "environments",
    "file_contents",
    "file_passage_bits",
    "file_passage_blocks",
    "file_passage_vectors",
    "file_passages",
    "files",
    "folders",
    "group_agents",
    "group_blocks",
    "group_turns",
    "groups",
    "identities",
    "mcp_servers",
    "mcp_sessions",
    "mcp_tools",
    "message_bits",
    "message_blocks",
    "message_vectors",
    "message_vectors_due",
    "messages",
    "metadata",
    "open_approvals",
    "organizations",
    "passage_bits",
    "passage_blocks",
    "passage_tags",
    "passage_vectors",
    "passage_vectors_due",
    "passages",
    "projects",
    "provider_traces",
    "providers",
    "run_events",
    "runs",
    "sandbox_configs",
    "sandbox_variables",
    "schedules",
    "steps",
    "template_versions",
    "templates",
    "token_ratios",
    "tool_bits",
    "tool_blocks",
    "tool_vectors",
    "tools",
    "waiting",
    "workers",
]
