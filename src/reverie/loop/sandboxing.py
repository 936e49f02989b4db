"""What an organisation says about its tools' sandbox, put into effect: one layer around whatever runs tools."""

from collections.abc import Sequence
from dataclasses import replace

import structlog
from sqlalchemy import Connection

from reverie.auth.cipher import Cipher, Unreadable
from reverie.domain.ids import OrganizationId
from reverie.domain.paging import Page
from reverie.domain.sandbox import LocalSandbox, SandboxConfig, SandboxVariable
from reverie.domain.tool import Tool
from reverie.storage import sandboxes
from reverie.storage.database import Database
from reverie.tools.base import ToolExecutor, ToolOutcome, ToolRun

log = structlog.get_logger(__name__)


class ConfiguredExecutor:
    """Runs custom tools as their organisation wants it; all others pass. Implements `ToolExecutor`."""

    def __init__(self, inner: ToolExecutor, database: Database, cipher: Cipher, *, limit_s: float) -> None:
        """`limit_s` is the server's own limit for a call."""
        self._inner = inner
        self._database = database
        self._cipher = cipher
        self._limit_s = limit_s

    async def run(self, call: ToolRun) -> ToolOutcome:
        """Execute; see `ToolExecutor.run`."""
        if call.tool.source_code is None or not call.configured:
            return await self._inner.run(call)
        found = await self._database.read(lambda c: _settings(c, call.tool.organization_id))
        return await self._inner.run(call if found is None else self._configured(call, *found))

    async def aclose(self) -> None:
        """End what was started ahead of need."""
        await self._inner.aclose()

    def _configured(self, call: ToolRun, config: SandboxConfig, variables: Sequence[SandboxVariable]) -> ToolRun:
        settings = config.settings
        timeout_s = call.timeout_s
        if settings.timeout_s is not None:
            timeout_s = min(settings.timeout_s, self._limit_s, call.timeout_s or self._limit_s)
        return replace(
            call,
            tool=_with_requirements(call.tool, settings),
            environment={**self._opened(variables), **call.environment},
            timeout_s=timeout_s,
        )

    def _opened(self, variables: Sequence[SandboxVariable]) -> dict[str, str]:
        found = {}
        for variable in variables:
            try:
                found[variable.key] = self._cipher.decrypt(variable.sealed_value, variable.id)
            except Unreadable as error:
                log.warning("sandbox_variable_left_out", variable_id=variable.id, error=str(error))
        return found


def _settings(c: Connection, organization_id: OrganizationId) -> tuple[SandboxConfig, list[SandboxVariable]] | None:
    config = sandboxes.find(c, organization_id)
    if config is None:
        return None
    return config, sandboxes.list_variables(c, organization_id, config.id, Page(limit=None, order="asc"))


def _with_requirements(tool: Tool, settings: LocalSandbox) -> Tool:
    if not settings.use_requirements or not settings.requirements or tool.source_type != "python":
        return tool
    own = {item.name.lower() for item in tool.pip_requirements}
    shared = tuple(item for item in settings.requirements if item.name.lower() not in own)
    return replace(tool, pip_requirements=(*tool.pip_requirements, *shared))
