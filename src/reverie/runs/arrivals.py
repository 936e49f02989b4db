"""Requests that come a second time: an `otid`, or the calls that it approves, say that it is the same one."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
from sqlalchemy import Connection

from reverie.domain.content import ImagePart, Part
from reverie.domain.errors import NotFound, SentBefore
from reverie.domain.ids import ConversationId, OrganizationId, RunId
from reverie.domain.inputs import ApprovalInput, MessageInput, Request, SayInput
from reverie.domain.run import Run
from reverie.loop.repeats import given_before
from reverie.storage import messages, runs, waiting

DIGEST = "inputs_digest"
"""Where a run's `request` keeps what its inputs were."""


class Arrivals:
    """Requests of this process that were not accepted yet, by the otids of their inputs."""

    def __init__(self) -> None:
        self._arriving: dict[tuple[ConversationId, str], asyncio.Future[None]] = {}

    @asynccontextmanager
    async def alone(self, conversation_id: ConversationId, request: Request) -> AsyncIterator[None]:
        """Let no other request with one of these otids arrive for the length of the block."""
        keys = [(conversation_id, otid) for otid in otids_of(request)]
        while twins := {self._arriving[key] for key in keys if key in self._arriving}:
            await asyncio.wait(twins)
        through: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arriving.update(dict.fromkeys(keys, through))
        try:
            yield
        finally:
            for key in keys:
                self._arriving.pop(key, None)
            through.set_result(None)


def otids_of(request: Request) -> list[str]:
    """The otids that the client gave to its inputs, each once."""
    return list(dict.fromkeys(item.otid for item in request.inputs if item.otid))


def digest_of(inputs: Sequence[MessageInput]) -> str:
    """A fingerprint of what is sent. Images that were given by URL count as the URL: bytes there may change."""
    return hashlib.sha256(orjson.dumps([_plain(item) for item in inputs])).hexdigest()


def sent_before(
    c: Connection, organization_id: OrganizationId, conversation_id: ConversationId, request: Request
) -> Run | None:
    """The run that was sent the same inputs before; None when they are new.

    Raises:
        SentBefore: one of the otids is known, and what was sent with it is not what is sent now, or its run is gone.
    """
    digest = digest_of(request.inputs)
    for otid in otids_of(request):
        run_id = run_of_otid(c, conversation_id, otid)
        if run_id is None:
            continue
        try:
            run = runs.get(c, organization_id, run_id)
        except NotFound as error:
            raise SentBefore(otid, run_id, "and its run was deleted since") from error
        if run.request.get(DIGEST, digest) != digest:
            raise SentBefore(otid, run_id, "with other content")
        return run
    return _answered_before(c, organization_id, conversation_id, request)


def _answered_before(
    c: Connection, organization_id: OrganizationId, conversation_id: ConversationId, request: Request
) -> Run | None:
    """The run that took the same approvals, whatever their otids: a call is decided once.

    None where it broke off and can be gone on with, or where something new is said with them.
    """
    answers = [item for item in request.inputs if isinstance(item, ApprovalInput)]
    before = given_before(c, organization_id, conversation_id, answers) if answers else None
    if before is None or before.broke_off:
        return None
    alone = len(answers) == len(request.inputs)
    return before.run if alone or before.run.request.get(DIGEST) == digest_of(request.inputs) else None


def can_come_twice(request: Request) -> bool:
    """Whether something in it says which one it is."""
    return bool(otids_of(request)) or any(isinstance(item, ApprovalInput) for item in request.inputs)


def run_of_otid(c: Connection, conversation_id: ConversationId, otid: str) -> RunId | None:
    """The run that was sent the input with this otid, one that waits among them; the latest, where several were."""
    return waiting.run_of_otid(c, conversation_id, otid) or messages.run_of_otid(c, conversation_id, otid)


def _plain(item: MessageInput) -> MessageInput:
    if isinstance(item, SayInput):
        return replace(item, parts=_named(item.parts))
    return replace(item, returns=tuple(replace(each, content=_named(each.content)) for each in item.returns))


def _named(parts: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(replace(part, data="", media_type="") if isinstance(part, ImagePart) and part.url else part
                 for part in parts)  # fmt: skip
