"""What the loop works with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reverie.auth.cipher import Cipher
from reverie.domain.clock import Clock
from reverie.domain.trace import Exchange
from reverie.loop.calibration import TokenRatios
from reverie.loop.meaning import Meaning
from reverie.models.base import ModelCatalogs
from reverie.models.retry import RetryPolicy
from reverie.storage.database import Database
from reverie.tools.base import BuiltinTool, ToolExecutor


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopDeps:
    """Everything that a turn needs besides its own state."""

    database: Database
    catalogs: ModelCatalogs
    meaning: Meaning
    """Lets messages be found by meaning."""
    builtin: Mapping[str, BuiltinTool]
    executor: ToolExecutor
    cipher: Cipher
    ratios: TokenRatios
    clock: Clock
    retries: RetryPolicy
    fault: Callable[[str], None]
    """Called at each crash point; does nothing outside of fault tests."""
    draining: Callable[[], bool]
    """Whether the server is shutting down."""
    keep_exchange: Callable[[Exchange], None] | None = None
    """Takes what was said to the provider, at no cost to the turn; None: nobody wants it."""
