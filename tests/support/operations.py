"""Operations over a real database, with models small enough to reason about."""

import hashlib
import math
import re
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta

from reverie.auth.cipher import Cipher
from reverie.auth.keys import TokenHasher
from reverie.domain.errors import BadGateway, NotFound
from reverie.domain.ids import McpServerId, OrganizationId
from reverie.domain.json import JsonObject
from reverie.domain.mcp_server import McpOffer
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.loop.calibration import TokenRatios
from reverie.loop.deps import LoopDeps
from reverie.loop.meaning import Meaning
from reverie.models.base import (
    ChatModel,
    Chunk,
    Embedder,
    FinishChunk,
    ModelCatalog,
    Prompt,
    ProviderOptions,
    TextChunk,
)
from reverie.models.retry import RetryPolicy
from reverie.operations.base import Operations
from reverie.runs.connections import Connections
from reverie.runs.engine import EngineOptions, RunEngine
from reverie.runs.talk import GroupTalks
from reverie.storage.database import Database
from reverie.tools.base import ToolOutcome, ToolRun
from reverie.tools.builtin import BUILTIN
from reverie.tools.mcp import Consent, McpTarget

MODEL = "toy/parrot"
EMBEDDING = "toy/words"
_MEANINGS = {"feline": "cat", "kitten": "cat", "automobile": "car", "vehicle": "car", "espresso": "coffee"}


class Parrot:
    """Says one sentence."""

    info = ModelInfo(
        handle=MODEL, name="parrot", provider_name="toy", provider_type="toy", endpoint=None, context_window=8_000
    )
    reasoning_origin = "toy"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        yield TextChunk(text="Hello.")
        yield FinishChunk(reason="stop")

    def preview(self, prompt: Prompt) -> JsonObject:
        return {"system": prompt.system}


class WordEmbedder:
    """Texts that share words, or words of one meaning, point the same way."""

    def __init__(self, handle: str = EMBEDDING, dimensions: int = 64) -> None:
        provider, name = handle.split("/")
        self.info = EmbedderInfo(
            handle=handle, name=name, provider_name=provider, provider_type="toy", endpoint=None, dimensions=dimensions
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._vector(text) for text in texts]

    def embed_one(self, text: str) -> list[float]:
        return self._vector(text)

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.info.dimensions
        for word in re.findall(r"\w+", text.lower()):
            digest = hashlib.sha256(_MEANINGS.get(word, word).encode()).digest()
            vector[int.from_bytes(digest[:4]) % len(vector)] += 1.0
        length = math.sqrt(sum(number * number for number in vector)) or 1.0
        return [number / length for number in vector]


class Models:
    """The catalog of one chat model and two embedders."""

    def __init__(self) -> None:
        self.embedders = {EMBEDDING: WordEmbedder(), "toy/wide": WordEmbedder("toy/wide", 96)}
        self.chat: list[ModelInfo] = [Parrot.info]

    async def list_models(self) -> list[ModelInfo]:
        return self.chat

    async def list_embedders(self) -> list[EmbedderInfo]:
        return [item.info for item in self.embedders.values()]

    async def chat_model(self, handle: str) -> ChatModel:
        if not handle.startswith("toy/"):
            raise NotFound("model provider", handle.split("/")[0], "configured here: toy")
        return Parrot()

    async def embedder(self, handle: str) -> Embedder:
        if handle not in self.embedders:
            raise NotFound("embedding model", handle)
        return self.embedders[handle]

    async def default_embedder(self) -> Embedder | None:
        return self.embedders[EMBEDDING]


class Everyone:
    """Gives every organisation the same catalog."""

    configured_providers = ()

    def __init__(self, catalog: ModelCatalog) -> None:
        self.catalog = catalog

    async def of(self, organization_id: OrganizationId) -> ModelCatalog:
        return self.catalog

    def forget(self, organization_id: OrganizationId) -> None:
        """Nothing is remembered."""

    async def check_address(self, provider: ProviderOptions) -> None:
        """Every address will do."""

    async def try_out(self, provider: ProviderOptions) -> int:
        return 1

    async def refresh(self, organization_id: OrganizationId, name: str) -> int:
        return 1


class Echo:
    """An executor that gives back what it was asked to run."""

    async def run(self, call: ToolRun) -> ToolOutcome:
        value = {"tool": call.tool.name, "arguments": call.arguments, "environment": dict(call.environment)}
        return ToolOutcome.success(call.tool.name, value)

    async def aclose(self) -> None:
        """Nothing was started."""


class NoMcp:
    """A client of MCP servers that reaches none."""

    async def check(self, target: McpTarget) -> None:
        """Everything is allowed."""

    async def list_tools(self, target: McpTarget) -> list[McpOffer]:
        raise BadGateway(f"MCP server {target.name!r} cannot be reached")

    async def call_tool(
        self,
        target: McpTarget,
        name: str,
        arguments: JsonObject,
        *,
        user: str | None = None,
        timeout_s: float | None = None,
    ) -> ToolOutcome:
        raise BadGateway(f"MCP server {target.name!r} cannot be reached")

    async def authorize(self, target: McpTarget, consent: Consent) -> list[McpOffer]:
        raise BadGateway(f"MCP server {target.name!r} cannot be reached")

    async def forget(self, server_id: McpServerId) -> None:
        """Nothing was opened."""


class Ticks:
    """A clock that goes one second on whenever it is read."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


def operations_on(database: Database, *, attempts: int = 1) -> Operations:
    """Every operation, over `database`; its run engine is not started and drives nothing."""
    models, executor, cipher, clock = Models(), Echo(), Cipher(bytes(32)), Ticks()
    ratios = TokenRatios(database)
    deps = LoopDeps(
        database=database,
        ratios=ratios,
        catalogs=Everyone(models),
        meaning=Meaning(database=database),
        builtin=BUILTIN,
        executor=executor,
        cipher=cipher,
        clock=clock,
        retries=RetryPolicy(),
        fault=lambda _: None,
        draining=lambda: False,
    )
    # Engines of one process take each other for dead, and here nobody goes on with what another one had.
    engine = RunEngine(deps, EngineOptions(attempts=attempts), lambda _: 500)
    return Operations(
        database=database,
        ratios=ratios,
        catalogs=Everyone(models),
        meaning=Meaning(database=database),
        runs=engine,
        talks=GroupTalks(engine, database, lambda _: 500),
        cipher=cipher,
        hasher=TokenHasher(bytes(32)),
        connections=Connections(database, clock, alone=True),
        executor=executor,
        mcp=NoMcp(),
        clock=clock,
    )
