"""What every handler is given, and the parameters that many share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from fastapi import Depends, Header, Path, Query, Request

from reverie.api.wire.agents import AgentFacts
from reverie.api.wire.base import Order
from reverie.auth.keys import LOCAL_CALLER, Caller
from reverie.domain.clock import Clock, utc_now
from reverie.domain.paging import Page
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.operations import projects
from reverie.operations.base import Operations
from reverie.web.addresses import WebOptions

SDK_HEADER: Final = "x-stainless-package-version"
RETRY_HEADER: Final = "x-stainless-retry-count"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """What the api room is told."""

    ping_interval_s: float = 15.0
    """Between signs of life in a silent stream, for readers that ask for them."""
    public_url: str | None = None
    """Where browsers find this server; None: under the name that the caller used."""
    web: WebOptions = field(default_factory=WebOptions)
    """What may be opened on a user's word, images above all."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks, with what, of whom."""

    ops: Operations
    caller: Caller
    options: ApiOptions
    is_sdk: bool
    """The caller is a present SDK, which names the relationships it wants."""
    request: Request
    clock: Clock = utc_now

    @property
    def again(self) -> bool:
        """Whether an SDK sends this request again by itself, because it had no answer, or one that says so."""
        return self.request.headers.get(RETRY_HEADER, "0") != "0"

    async def is_there(self) -> bool:
        """Whether the client still waits for its answer."""
        return not await self.request.is_disconnected()

    async def facts(self, *, embedders: bool = True) -> AgentFacts:
        """What the catalog knows of models, for answers that describe agents."""
        catalog = await self.ops.catalogs.of(self.caller.organization_id)
        models = await catalog.list_models()
        found = await catalog.list_embedders() if embedders else []
        open_secret = self.ops.cipher.decrypt if self.caller.sees_secrets else None
        return AgentFacts(models=_by_handle(models), embedders=_embedders(found), open_secret=open_secret)


def _by_handle(models: Iterable[ModelInfo]) -> dict[str, ModelInfo]:
    return {model.handle: model for model in models}


def _embedders(models: Iterable[EmbedderInfo]) -> dict[str, EmbedderInfo]:
    return {model.handle: model for model in models}


async def _call_of(request: Request) -> Call:
    state = request.app.state
    return Call(
        state.ops,
        request.scope.get("state", {}).get("caller", LOCAL_CALLER),
        state.options,
        SDK_HEADER in request.headers,
        request,
    )


Ask: TypeAlias = Annotated[Call, Depends(_call_of)]

_ProjectHeader: TypeAlias = Annotated[str | None, Header(description="Slug or name of a project.")]
_ProjectIdHeader: TypeAlias = Annotated[
    str | None, Header(pattern=r"^[A-Za-z0-9_-]{1,100}$", description="Id of a project; any that the caller keeps.")
]


async def _from_project(call: Ask, x_project: _ProjectHeader = None, x_project_id: _ProjectIdHeader = None) -> Any:
    return x_project_id or (await projects.find_id(call.ops, call.caller, x_project) if x_project else None)


async def _into_project(call: Ask, x_project: _ProjectHeader = None, x_project_id: _ProjectIdHeader = None) -> Any:
    return x_project_id or (await projects.settle(call.ops, call.caller, x_project) if x_project else None)


FromProject: TypeAlias = Annotated[str | None, Depends(_from_project)]
"""Id of the project that the request's headers name, for lists; None: of all projects, and of none."""
IntoProject: TypeAlias = Annotated[str | None, Depends(_into_project)]
"""The same for what is made; a project that is named and not there yet is made."""


FROM_MODELS: Final[dict[int | str, dict[str, Any]]] = {status: {} for status in (402, 429, 502, 504)}
"""Statuses of routes that wait for a model, for `responses=`."""
FROM_OUTSIDE: Final[dict[int | str, dict[str, Any]]] = {status: {} for status in (408, 502)}
"""Statuses of routes that wait for another server."""


def _id(prefix: str, *others: str) -> Any:
    """A path parameter that holds an id of the form `prefix-<uuid>`."""
    kinds = "|".join((prefix, *others))
    return Path(pattern=rf"^({kinds})-[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}$", examples=[
        f"{prefix}-123e4567-e89b-42d3-8456-426614174000"
    ])  # fmt: skip


AgentPath: TypeAlias = Annotated[str, _id("agent")]
BlockPath: TypeAlias = Annotated[str, _id("block")]
ToolPath: TypeAlias = Annotated[str, _id("tool")]
RunPath: TypeAlias = Annotated[str, _id("run", "job")]
SandboxPath: TypeAlias = Annotated[str, _id("sandbox")]
SandboxVariablePath: TypeAlias = Annotated[str, _id("sandbox-env")]
BatchPath: TypeAlias = Annotated[str, _id("job")]
StepPath: TypeAlias = Annotated[str, _id("step")]
MessagePath: TypeAlias = Annotated[str, _id("message")]
PassagePath: TypeAlias = Annotated[str, _id("passage")]
ArchivePath: TypeAlias = Annotated[str, _id("archive")]
ProviderPath: TypeAlias = Annotated[str, _id("provider")]
IdentityPath: TypeAlias = Annotated[str, _id("identity")]
EnvironmentPath: TypeAlias = Annotated[str, _id("env")]
SchedulePath: TypeAlias = Annotated[str, _id("schedule")]
FolderPath: TypeAlias = Annotated[str, _id("source")]
FilePath: TypeAlias = Annotated[str, _id("file")]
GroupPath: TypeAlias = Annotated[str, _id("group")]
McpServerPath: TypeAlias = Annotated[str, _id("mcp_server")]
_UUID: Final = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ConversationPath: TypeAlias = Annotated[str, Path(pattern=rf"^(default|(conv|agent)-{_UUID})$", examples=["default"])]
AgentQuery: TypeAlias = Annotated[str | None, Query(pattern=rf"^agent-{_UUID}$")]
IdentityQuery: TypeAlias = Annotated[str | None, Query(pattern=rf"^identity-{_UUID}$")]

LimitQuery: TypeAlias = Annotated[int | None, Query(ge=1, le=10_000)]
CountQuery: TypeAlias = Annotated[int, Query(ge=1, le=10_000)]
OffsetQuery: TypeAlias = Annotated[int, Query(ge=0, le=1_000_000_000)]
"""For the few lists of the API that are paged by number."""
CursorQuery: TypeAlias = Annotated[str | None, Query(min_length=1, max_length=200)]
ListQuery: TypeAlias = Annotated[list[str] | None, Query()]
OrderBy: TypeAlias = Literal["created_at"]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The query of a list."""

    limit: int | None
    after: str | None
    before: str | None
    order: Order

    def page(self) -> Page:
        """The page, as operations take it."""
        return Page(limit=self.limit, after=self.after, before=self.before, order=self.order)


def _page_dependency(default_limit: int, default_order: Order) -> Any:
    async def read(
        limit: LimitQuery = default_limit,
        after: CursorQuery = None,
        before: CursorQuery = None,
        order: Order = default_order,
        order_by: OrderBy = "created_at",
    ) -> PageQuery:
        return PageQuery(limit, after, before, order)

    return Depends(read)


Newest10: TypeAlias = Annotated[PageQuery, _page_dependency(10, "desc")]
Newest50: TypeAlias = Annotated[PageQuery, _page_dependency(50, "desc")]
Newest100: TypeAlias = Annotated[PageQuery, _page_dependency(100, "desc")]
Oldest50: TypeAlias = Annotated[PageQuery, _page_dependency(50, "asc")]
Oldest100: TypeAlias = Annotated[PageQuery, _page_dependency(100, "asc")]
