"""The built-in tools as rows of an organisation: a rule that several operations share."""

import uuid
from datetime import datetime
from typing import Final
from weakref import WeakKeyDictionary

from reverie.domain.ids import OrganizationId, ToolId
from reverie.domain.tool import Tool
from reverie.operations.base import Operations
from reverie.storage import tools
from reverie.storage.database import Database
from reverie.tools.base import PeerTool
from reverie.tools.builtin import BUILTIN

_NAMESPACE: Final = uuid.UUID("6f1c1d52-5b0c-4b0e-9d57-2c1b6a2f7e10")
_done: Final[WeakKeyDictionary[Database, set[OrganizationId]]] = WeakKeyDictionary()
"""Organisations whose rows this process has brought up to date already."""


async def ensure_builtin(ops: Operations, organization_id: OrganizationId) -> None:
    """Make the organisation's rows of the built-in tools, once per process.

    A transaction of its own, so that nothing is believed done that was undone later.
    """
    done = _done.setdefault(ops.database, set())
    if organization_id in done:
        return
    now = ops.clock()
    rows = builtin_tools(organization_id, now)
    await ops.database.write(lambda c: tools.put_builtin(c, rows, now))
    done.add(organization_id)


def builtin_tools(organization_id: OrganizationId, now: datetime) -> list[Tool]:
    """The built-in tools as records. A tool has the same id in every process."""
    return [
        Tool(
            id=ToolId(f"tool-{uuid.uuid5(_NAMESPACE, f'{organization_id}/{spec.name}')}"),
            organization_id=organization_id,
            name=spec.name,
            tool_type=item.tool_type,
            description=spec.description,
            json_schema={"name": spec.name, "description": spec.description, "parameters": spec.parameters},
            tags=(item.tool_type.value,),
            # Several agents can be asked side by side.
            enable_parallel_execution=isinstance(item, PeerTool),
            created_at=now,
            updated_at=now,
        )
        for item in BUILTIN.values()
        for spec in (item.spec,)
    ]
