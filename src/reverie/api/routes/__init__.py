"""One module for each resource of the API."""

from typing import Final

from reverie.api.context import Routes
from reverie.api.routes import (
    agent_exports,
    agent_files,
    agent_memory,
    agent_messages,
    agent_prompts,
    agent_tools,
    agents,
    archives,
    block_history,
    blocks,
    conversations,
    folders,
    groups,
    health,
    identities,
    messages,
    models,
    projects,
    providers,
    runs,
    schedules,
    steps,
    tags,
    tools,
)

ALL_ROUTES: Final[tuple[Routes, ...]] = (
    health.routes,
    agent_exports.routes,
    agents.routes,
    agent_messages.routes,
    agent_prompts.routes,
    agent_memory.routes,
    agent_files.routes,
    agent_tools.routes,
    schedules.routes,
    conversations.routes,
    runs.routes,
    steps.routes,
    blocks.routes,
    block_history.routes,
    folders.routes,
    identities.routes,
    groups.routes,
    tools.routes,
    archives.routes,
    tags.routes,
    models.routes,
    projects.routes,
    providers.routes,
    messages.routes,
)
"""In the order in which paths are tried; `later` comes before the last one."""
