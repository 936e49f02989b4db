"""What every operation is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from reverie.auth.cipher import Cipher
from reverie.auth.keys import TokenHasher
from reverie.domain.clock import Clock
from reverie.loop.calibration import TokenRatios
from reverie.loop.meaning import Meaning
from reverie.models.base import ProviderCatalogs
from reverie.runs.connections import Connections
from reverie.runs.engine import RunEngine
from reverie.runs.talk import GroupTalks
from reverie.storage.bells import Chore
from reverie.storage.database import Database
from reverie.tools.base import ToolExecutor
from reverie.tools.mcp import McpClient


async def nothing() -> None:
    """Nothing is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The server's parts, as operations need them. Built once, in `wiring`."""

    database: Database
    catalogs: ProviderCatalogs
    """The models of each organisation: `(await ops.catalogs.of(caller.organization_id)).chat_model(handle)`."""
    ratios: TokenRatios
    """How each model's provider counts tokens."""
    meaning: Meaning
    """Lets messages be found by meaning."""
    runs: RunEngine
    talks: GroupTalks
    cipher: Cipher
    hasher: TokenHasher
    """Makes what is stored of tokens."""
    executor: ToolExecutor
    """Runs custom tools."""
    mcp: McpClient
    connections: Connections
    """Environments that are connected to this process."""
    clock: Clock
    ring: Callable[[Chore], None] = lambda _: None
    """Tells the background, wherever it works, that there is something to do."""
    settle_traces: Callable[[], Awaitable[object]] = nothing
    """Stores what was said to providers and is still on its way to the database."""
    default_model: str | None = None
    """Handle for agents that name no model."""
    approval_timeout_s: float = 0.0
    """After how many seconds calls that nobody answers are denied, where their agent does not say; 0: never."""
    max_file_bytes: int = 40_000_000
    """Larger files are not read."""
