"""Lets sleeptime agents look at what was said, whenever a main agent has had enough turns.

What is due stands in the database, written by the transaction that ends a turn. A review is
claimed by the transaction that accepts its run, so there is at most one for each time it is due,
in whatever process, and none is lost with a process.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Final

import structlog
from sqlalchemy import Connection

from reverie.background.rounds import Rounds
from reverie.context.transcript import transcript
from reverie.domain.agent import Agent
from reverie.domain.errors import Conflict, Draining, NotFound, ReverieError
from reverie.domain.group import DEFAULT_BUFFER, ManagerType, Review
from reverie.domain.ids import ConversationId
from reverie.domain.inputs import Request, SayInput
from reverie.domain.message import Message, text_parts
from reverie.domain.run import Run
from reverie.runs.engine import RunEngine
from reverie.storage import sleeptime
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

AT_ONCE: Final = 4
"""Reviews that one process has under way; main agents come first."""
LOOK: Final = 100
"""Most reviews looked at in one round."""
MOST_MESSAGES: Final = 400
"""Most messages of one review; older ones can be searched."""


class Sleeptime:
    """Begins reviews between entering and leaving."""

    def __init__(self, engine: RunEngine, database: Database, interval_s: float) -> None:
        self._engine = engine
        self._database = database
        self._rounds = Rounds("sleeptime", self._round, interval_s)
        self._reviews: dict[str, asyncio.Task[None]] = {}
        """By sleeptime agent, each of which reviews one conversation after the other."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Sleeptime":
        self._engine.tell(self._hear)
        await self._stack.enter_async_context(self._rounds)
        self._rounds.ring()  # for what a process that died left due
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        for task in list(self._reviews.values()):
            task.cancel()
        await asyncio.gather(*self._reviews.values(), return_exceptions=True)

    def _hear(self, _run: Run, agent: Agent) -> None:
        if agent.enable_sleeptime:
            self._rounds.ring()

    async def _round(self) -> int:
        if self._engine.draining or len(self._reviews) >= AT_ONCE:
            return 0
        begun = 0
        for review in await self._database.read(lambda c: sleeptime.due(c, LOOK)):
            if review.agent_id in self._reviews:
                continue
            if len(self._reviews) >= AT_ONCE:
                break
            task = asyncio.create_task(self._review(review), name=f"review by {review.agent_id}")
            self._reviews[review.agent_id] = task
            begun += 1
        return begun

    async def _review(self, review: Review) -> None:
        """Begin one review and wait for its end, so that the next one of the agent begins where this one ended."""
        again = True
        try:
            await self._hold(review)
        except (Draining, NotFound):  # begun after the next start, or gone with its agent
            again = False
        except ReverieError as error:
            again = False
            log.info("review_not_begun", group_id=review.group.id, agent_id=review.agent_id, error=str(error))
        except Exception:  # never more than this one review
            again = False
            log.exception("review_failed", group_id=review.group.id, agent_id=review.agent_id)
        finally:
            del self._reviews[review.agent_id]
            if again:
                self._rounds.ring()

    async def _hold(self, review: Review) -> None:
        said, left_out = await self._database.read(lambda c: sleeptime.said_since(c, review, MOST_MESSAGES))
        leaving = _leaving(review, said)
        lines = transcript(leaving)
        if not lines:
            last = leaving[-1].id if leaving else None
            await self._database.write(lambda c: sleeptime.claim(c, review, last, None))
            return
        through = leaving[-1].id

        def claim(c: Connection, run: Run) -> None:
            if not sleeptime.claim(c, review, through, run.id):
                raise Conflict(f"the review by {review.agent_id!r} was begun by another process")
            if review.group.manager_type is ManagerType.VOICE_SLEEPTIME:
                sleeptime.leave_context(c, review.conversation_id, through)

        handle = await self._engine.send(
            review.group.organization_id,
            ConversationId(review.agent_id),
            _request(review, lines, left_out),
            when_busy="enqueue",
            on_accept=claim,
        )
        log.info("review_begun", run_id=handle.run.id, agent_id=review.agent_id, messages=len(leaving))
        async with aclosing(handle.events()) as events:
            async for _ in events:
                pass


def _leaving(review: Review, said: Sequence[Message]) -> Sequence[Message]:
    """What is to be reviewed: everything, or for a voice agent what leaves its context, up to the end of a turn."""
    if review.group.manager_type is not ManagerType.VOICE_SLEEPTIME:
        return said
    staying = review.group.min_message_buffer_length or DEFAULT_BUFFER[1]
    for place in range(max(len(said) - staying, 0), 0, -1):
        if said[place].kind == "user":
            return said[:place]
    return []


def _request(review: Review, lines: Sequence[str], left_out: int) -> Request:
    earlier = f"({left_out} older messages are left out; search finds them.)\n" if left_out else ""
    numbered = "\n".join(f"{number}. {line}".replace("\n", "\n   ") for number, line in enumerate(lines))
    text = (
        "[This is what was said in a conversation of your agent since you last looked. 'assistant' is your agent, "
        "'user' the one it talks with. You are not part of it and nobody reads what you write: bring the memory up "
        f"to date with your tools, then finish.]\n{earlier}{numbered}"
    )
    return Request(
        inputs=(SayInput(role="user", parts=text_parts(text), group_id=review.group.id),),
        background=True,
        metadata={
            "run_type": "sleeptime",
            "group_id": review.group.id,
            "main_agent_id": review.group.manager_agent_id,
            "main_conversation_id": review.conversation_id,
        },
    )
