"""One executor in front of several: who runs a tool follows from its type."""

from collections.abc import Mapping

from reverie.domain.tool import ToolType
from reverie.tools.base import ToolExecutor, ToolOutcome, ToolRun


class ExecutorByType:
    """Sends each call to the executor of its tool's type; a `ToolExecutor` itself.

    It does not own the others: whoever made them closes them.
    """

    def __init__(self, others: ToolExecutor, by_type: Mapping[ToolType, ToolExecutor]) -> None:
        self._others = others
        self._by_type = by_type

    async def run(self, call: ToolRun) -> ToolOutcome:
        """Execute; see `ToolExecutor.run`."""
        outcome = await self._by_type.get(call.tool.tool_type, self._others).run(call)
        return outcome.discreet(call.environment)

    async def aclose(self) -> None:
        """Nothing of its own to end."""
