"""Accepts requests, drives turns in tasks of their own, and lets anyone read along."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, TypeAlias, assert_never

import structlog
from sqlalchemy import Connection

from reverie.domain.agent import Agent
from reverie.domain.conversation import Conversation
from reverie.domain.errors import Busy, Draining, Entangled, Gone, NotFound, ReverieError, RunLost
from reverie.domain.events import Event, RunEnded, RunFailure
from reverie.domain.ids import AgentId, ConversationId, OrganizationId, RunId, make_id
from reverie.domain.inputs import BusyPolicy, Request
from reverie.domain.repair import Fault
from reverie.domain.run import Run
from reverie.domain.stop_reason import RunStatus, StopReason
from reverie.loop.state import TurnState, admit, load_view
from reverie.loop.turn import LoopDeps, Turn, failure_of
from reverie.runs import workers
from reverie.runs.arrivals import DIGEST, Arrivals, digest_of, otids_of, sent_before
from reverie.runs.lineage import Lineage
from reverie.runs.log import RunLog
from reverie.runs.queue import Turnstiles
from reverie.runs.repair import Mender
from reverie.runs.workers import Worker
from reverie.storage import agents, conversations, run_events, runs
from reverie.storage.workers import forget as forget_worker
from reverie.storage.workers import others as other_workers

log = structlog.get_logger(__name__)

FLUSH_S: Final = 0.02
"""How long events of a background run gather before they are stored together."""
POLL_S: Final = 0.1
"""How often another process's run is looked at by those who wait for it."""
HEAR_S: Final = 1.0
"""Longest time until a run hears that it was cancelled through another process."""
_NAMING_S: Final = 0.01
_NAMING_TRIES: Final = 100
"""How often who is refused looks for the name of the run that was accepted first."""
CANCELLED_NOTE: Final = "This call was cancelled before it was finished."
DRAINED_NOTE: Final = "This call was not finished: the server was shutting down."


OnAccept: TypeAlias = Callable[[Connection, Run], None]
"""Stores something together with a run that is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engine is told."""

    when_busy: BusyPolicy = "enqueue"
    """What becomes of a message while another run holds its conversation."""
    lease_s: float = 15.0
    """A process that has not been heard of for so long is taken for dead."""
    drain_timeout_s: float = 30.0
    """Longest wait for running turns at shutdown."""
    alone: bool = True
    """No other process has the database open (SQLite)."""
    max_depth: int = 5
    """Most agents that ask one another in a row."""


Listener: TypeAlias = Callable[[Run, Agent], None]
"""Hears of a run that has ended, and whose it was. Quick, and never raises."""


@dataclass(slots=True)
class _Live:
    """A run that this process drives."""

    run: Run
    log: RunLog
    conductor: "asyncio.Task[None] | None"
    """Ends when everything about the run is done."""
    turn: "asyncio.Task[None] | None" = None
    """The part that a cancel interrupts."""
    stop: Literal["cancel", "drain"] | None = None


@dataclass(frozen=True, slots=True)
class _Wish:
    """A request on its way to being accepted."""

    organization_id: OrganizationId
    conversation_id: ConversationId
    request: Request
    policy: BusyPolicy | None
    """None: as the agent has it."""
    on_accept: OnAccept | None
    once: bool


@dataclass(frozen=True, slots=True)
class RunHandle:
    """A started run, and its events."""

    run: Run
    _follow: Callable[[int], AsyncGenerator[tuple[int, Event], None]]

    def events(self, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """Numbered events above `after`, up to the last one."""
        return self._follow(after)


class _SentBefore(ReverieError):
    """The inputs are those of a run that is there; undoes the one that was to be stored."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"sent before to run {run.id!r}")
        self.run = run


class RunEngine:
    """Drives all runs of this process. `start` it once, `close` it last but one, before the database."""

    def __init__(self, deps: LoopDeps, options: EngineOptions, status_of: Callable[[ReverieError], int]) -> None:
        self._deps = deps
        self._options = options
        self._status_of = status_of
        self._worker = Worker.here()
        self._lease = timedelta(seconds=options.lease_s)
        self._next_beat: datetime | None = None
        self._live: dict[RunId, _Live] = {}
        self._turnstiles = Turnstiles()
        self._arrivals = Arrivals()
        self.lineage = Lineage(self.holder, options.max_depth)
        self._tasks: set[asyncio.Task[None]] = set()
        """All conductors, those in line too: the event loop alone would not keep them alive."""
        self._listeners: list[Listener] = []
        self._draining = False
        self._pulse: asyncio.Task[None] | None = None

    @property
    def worker_id(self) -> str:
        """The worker that this process is; others see by its lease whether it lives."""
        return self._worker.id

    @property
    def draining(self) -> bool:
        """Whether new runs are refused."""
        return self._draining

    async def start(self) -> None:
        """Take a lease, end what dead processes left, and keep the lease while runs live."""
        await self._deps.database.write(self._begin_life)
        self._pulse = asyncio.create_task(self._keep_lease(), name="lease")

    async def send(
        self,
        organization_id: OrganizationId,
        conversation_id: ConversationId,
        request: Request,
        *,
        when_busy: BusyPolicy | None = None,
        on_accept: OnAccept | None = None,
        once: bool = False,
    ) -> RunHandle:
        """Accept a request: its run and its inputs are stored when this returns, and the turn is on its way.

        `on_accept` is called in the transaction that stores them; what it raises undoes it, and is raised here.
        With `once`, inputs that came before under the same otids get the run they came to: see `send_once`.

        Raises:
            NotFound: the conversation does not exist.
            Busy: another run holds it and the policy is to refuse.
            ApprovalPending: a call waits for an answer and the request brings none.
            InvalidInput: an approval that answers nothing.
            Draining: the server is shutting down.
        """
        accepted: asyncio.Future[RunHandle] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(
            self._conduct(_Wish(organization_id, conversation_id, request, when_busy, on_accept, once), accepted),
            name=f"run of {conversation_id}",
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(accepted)
        except asyncio.CancelledError:
            if not accepted.done():  # still waiting in line, and nobody wants it any more
                task.cancel()
            raise

    async def send_once(
        self, organization_id: OrganizationId, conversation_id: ConversationId, request: Request
    ) -> RunHandle:
        """Accept a client's request, or return the run that it was accepted as before: the same otids, the same inputs.

        Raises:
            SentBefore: an otid is known, and what came with it is not what comes now.
            ReverieError: as `send`.
        """
        if not otids_of(request):
            return await self.send(organization_id, conversation_id, request, when_busy=request.when_busy)
        async with self._arrivals.alone(conversation_id, request):
            run = await self._deps.database.read(lambda c: sent_before(c, organization_id, conversation_id, request))
            if run is not None:
                return self._handle_of(run)
            return await self.send(organization_id, conversation_id, request, when_busy=request.when_busy, once=True)

    def _handle_of(self, run: Run) -> RunHandle:
        live = self._live.get(run.id)
        if live is not None:
            return RunHandle(live.run, live.log.follow)
        return RunHandle(run, partial(self.follow, run.organization_id, run.id))

    async def send_behind(
        self, parent_id: RunId, organization_id: OrganizationId, conversation_id: ConversationId, request: Request
    ) -> RunHandle:
        """Accept a request from a tool call of the run `parent_id`, which waits for it unless it is in the background.

        Raises:
            Entangled: it could end only after the parent's turn, or the parent has ended.
        """
        live = self._live.get(parent_id)
        if live is None:
            raise Entangled(f"run {parent_id!r} has ended, so its tool calls start nothing any more")
        waits = not request.background
        kept = self.lineage.descent(live.run, waits=waits)
        request = replace(request, metadata={**request.metadata, **kept})
        if not waits:
            return await self.send(organization_id, conversation_id, request, when_busy="enqueue")
        with ExitStack() as stack:
            stack.enter_context(self.lineage.waiting(live.run, conversation_id))
            handle = await self.send(organization_id, conversation_id, request, when_busy="enqueue")
            conductor = self._live[handle.run.id].conductor if handle.run.id in self._live else None
            if conductor is not None:  # it has not ended yet
                until_it_ends = stack.pop_all()
                conductor.add_done_callback(lambda _: until_it_ends.close())
        return handle

    def tell(self, listener: Listener) -> None:
        """Let `listener` hear of every run of this process that ends from now on."""
        self._listeners.append(listener)

    async def follow(
        self, organization_id: OrganizationId, run_id: RunId, after: int = 0
    ) -> AsyncGenerator[tuple[int, Event], None]:
        """Events of any run, live here, live elsewhere or ended, from number `after` + 1.

        Of a run that was not in the background only what it saved is there once it has ended, or elsewhere.

        Raises:
            NotFound: no such run.
        """
        live = self._live.get(run_id)
        if live is not None and live.run.organization_id == organization_id:
            async with aclosing(live.log.follow(after)) as events:
                async for item in events:
                    yield item
            return
        place = after
        while True:
            run = await self._deps.database.read(lambda c: runs.get(c, organization_id, run_id))
            stored = await self._deps.database.read(lambda c, seen=place: run_events.read(c, run_id, seen))  # type: ignore[misc]
            for number, event in stored:
                place = number
                yield number, event
                if isinstance(event, RunEnded):
                    return
            if run.status.is_final and not stored:
                for number, event in await self._deps.database.read(lambda c, run=run: _rest(c, run)):  # type: ignore[misc]
                    if number > place:
                        yield number, event
                return
            await asyncio.sleep(POLL_S)

    def require_events(self, run: Run) -> None:
        """Check that `follow` can tell of `run` as it was told when it ran.

        Raises:
            Gone: the run has ended and its events were not kept.
        """
        if not run.background and run.id not in self._live:
            raise Gone(f"run {run.id!r} was not started in the background, so its events were not kept")

    async def cancel(self, organization_id: OrganizationId, run_id: RunId) -> Run:
        """Stop a run, wherever it is driven, and return it as it ended. A run that has ended stays as it is.

        Raises:
            NotFound: no such run.
        """
        run = await self._deps.database.read(lambda c: runs.get(c, organization_id, run_id))
        if run.completed_at is not None:
            return run
        live = self._live.get(run_id)
        if live is None:
            return await self._cancel_elsewhere(run)
        self._stop(live, "cancel")
        async with aclosing(live.log.follow(len(live.log))) as events:
            async for _ in events:
                pass
        return await self._deps.database.read(lambda c: runs.get(c, organization_id, run_id))

    async def cancel_active(
        self,
        organization_id: OrganizationId,
        *,
        agent_id: AgentId | None = None,
        conversation_id: ConversationId | None = None,
    ) -> list[Run]:
        """Stop every run of an agent or conversation."""
        active = await self._deps.database.read(
            lambda c: runs.active_of(c, organization_id, agent_id=agent_id, conversation_id=conversation_id)
        )
        return [await self.cancel(organization_id, run.id) for run in active]

    async def cancel_agent(self, organization_id: OrganizationId, agent_id: AgentId) -> list[Run]:
        """Stop every run of an agent."""
        return await self.cancel_active(organization_id, agent_id=agent_id)

    async def cancel_children(self, parent: Run, conversation_id: ConversationId) -> list[Run]:
        """Stop the runs in one conversation that this process started for calls of `parent`."""
        children = [
            live.run
            for live in self._live.values()
            if live.run.conversation_id == conversation_id and live.run.metadata.get("parent_run_id") == parent.id
        ]
        return [await self.cancel(run.organization_id, run.id) for run in children]

    def holder(self, conversation_id: ConversationId) -> RunId | None:
        """The run of this process that holds a conversation."""
        return next((live.run.id for live in self._live.values() if live.run.conversation_id == conversation_id), None)

    async def bury_dead(self) -> list[Run]:
        """End the runs of processes that died since anyone looked; returns them as they ended."""

        def look(c: Connection) -> list[str]:
            return workers.dead_workers(c, self._worker, self._deps.clock(), alone=self._options.alone)

        dead = await self._deps.database.read(look)
        if not dead:
            return []
        return await self._deps.database.write(lambda c: workers.bury(c, self._worker, dead, self._deps.clock()))

    async def repair(self, organization_id: OrganizationId, agent_id: AgentId, *, dry_run: bool) -> list[Fault]:
        """Report what is wrong with an agent's conversations, and mend it unless it is a `dry_run`.

        Raises:
            NotFound: no such agent.
        """

        def threads(c: Connection) -> list[ConversationId]:
            agents.get(c, organization_id, agent_id)
            return conversations.ids_of(c, agent_id)

        found = await self._deps.database.read(threads)
        mender = Mender(worker=self._worker, clock=self._deps.clock, alone=self._options.alone, mine=self._live)
        return [
            fault
            for thread in found
            for fault in await mender.look(self._deps.database, organization_id, thread, dry_run)
        ]

    async def drain(self, timeout_s: float | None = None) -> None:
        """Refuse new runs, let running ones reach their next commit, and stop what takes longer than `timeout_s`."""
        self._draining = True
        tasks = [live.conductor for live in self._live.values() if live.conductor is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._options.drain_timeout_s if timeout_s is None else timeout_s)
        for live in list(self._live.values()):
            self._stop(live, "drain")
        tasks = [task for task in tasks if not task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)

    async def close(self) -> None:
        """Drain, then give the lease back."""
        await self.drain()
        if self._pulse is not None:
            self._pulse.cancel()
            with suppress(asyncio.CancelledError):
                await self._pulse
        await self._deps.database.write(lambda c: forget_worker(c, self._worker.id))

    # -- driving ---------------------------------------------------------------------------

    async def _conduct(self, wish: _Wish, accepted: "asyncio.Future[RunHandle]") -> None:
        """Wait in line, start the run, and drive it to its end."""
        place = wish.conversation_id
        try:
            ahead = self._turnstiles.is_taken(place) and await self._goes_ahead(wish)
            async with self._turnstiles.pass_through(place, ahead=ahead):
                state = await self._accept(wish)
                live = _Live(state.run, RunLog(stored_first=state.run.background), asyncio.current_task())
                self._live[state.run.id] = live
                accepted.set_result(RunHandle(state.run, live.log.follow))
                await self._drive(Turn(state, self._deps), live)
        except _SentBefore as found:
            if not accepted.done():
                accepted.set_result(self._handle_of(found.run))
        except asyncio.CancelledError:
            if not accepted.done():
                accepted.cancel()
            raise
        except Exception as error:  # not handled here: whoever waits for the run to be accepted gets it
            if accepted.done():
                raise
            accepted.set_exception(error)

    async def _policy(self, wish: _Wish) -> BusyPolicy:
        """What shall become of a request that found its conversation busy.

        Raises:
            NotFound: the conversation does not exist.
        """

        def of_agent(c: Connection) -> BusyPolicy | None:
            conversation = conversations.get(c, wish.organization_id, wish.conversation_id)
            return agents.get(c, wish.organization_id, conversation.agent_id).when_busy

        return wish.policy or await self._deps.database.read(of_agent) or self._options.when_busy

    async def _goes_ahead(self, wish: _Wish) -> bool:
        """Whether a request that found its conversation busy cancels what runs there, and goes ahead of who waits.

        Raises:
            Busy: it is to be refused instead.
        """
        place = wish.conversation_id
        match await self._policy(wish):
            case "enqueue":
                return False
            case "interrupt":
                for live in list(self._live.values()):
                    if live.run.conversation_id == place:
                        self._stop(live, "cancel")
                return True
            case "reject":
                for _ in range(_NAMING_TRIES):
                    if not self._turnstiles.is_taken(place):
                        return False
                    if (holder := self.holder(place)) is not None:
                        raise Busy(place, holder)
                    await asyncio.sleep(_NAMING_S)  # whoever was before is being accepted
                raise Busy(place, "not known yet")
            case impossible:
                assert_never(impossible)

    async def _accept(self, wish: _Wish) -> TurnState:
        """Store the run and its inputs, as soon as no run of another process holds the conversation."""
        policy: BusyPolicy | None = None
        while True:
            if self._draining:
                raise Draining("the server is shutting down and takes no new messages; send it again in a moment")
            now = self._deps.clock()
            started_ns = time.monotonic_ns()
            try:
                state = await self._deps.database.write(
                    lambda c: self._begin(c, wish, now, started_ns)  # noqa: B023
                )
            except Busy as busy:
                holder = RunId(busy.run_id)
                if not await self._bury_holder(holder):
                    policy = policy or await self._policy(wish)
                    if policy == "reject":
                        raise
                    if policy == "interrupt":
                        await self._deps.database.write(lambda c: runs.request_cancel(c, holder))  # noqa: B023
                await asyncio.sleep(POLL_S)
                continue
            self._deps.fault("run_accepted")
            return state

    def _begin(self, c: Connection, wish: _Wish, now: datetime, started_ns: int) -> TurnState:
        self._beat_if_due(c, now)
        request = wish.request
        self._refuse_repeat(c, wish)
        view = load_view(c, wish.organization_id, wish.conversation_id, now)
        run = Run(
            id=RunId(make_id("run")),
            organization_id=wish.organization_id,
            agent_id=view.agent.id,
            conversation_id=wish.conversation_id,
            status=RunStatus.RUNNING,
            background=request.background,
            request={"options": request.options, "reader": request.reader, DIGEST: digest_of(request.inputs)},
            project_id=view.agent.project_id,
            template_id=view.agent.template_id,
            base_template_id=view.agent.base_template_id,
            metadata=request.metadata,
            worker_id=self._worker.id,
            fence=1,
            callback_url=request.callback_url,
            created_at=now,
        )
        _claim(c, view.conversation, run.id)
        if not self._options.alone:  # another process may have let the same in just before the claim
            self._refuse_repeat(c, wish)
        runs.insert_run(c, run)
        if wish.on_accept is not None:
            wish.on_accept(c, run)
        view = admit(c, view, run, request.inputs, now)
        return TurnState(run=run, request=request, view=view, started_ns=started_ns)

    @staticmethod
    def _refuse_repeat(c: Connection, wish: _Wish) -> None:
        if (
            wish.once
            and (known := sent_before(c, wish.organization_id, wish.conversation_id, wish.request)) is not None
        ):
            raise _SentBefore(known)

    async def _drive(self, turn: Turn, live: _Live) -> None:
        """Drive a turn to its end, whatever happens on the way.

        The turn runs in a task of its own, the only one that a cancel touches: what must be saved
        once it has been cancelled, or has failed, is saved out of reach of a further cancel.
        """
        keeper = asyncio.create_task(self._store_events(live)) if live.run.background else None
        live.turn = asyncio.create_task(self._forward(turn, live), name=f"turn of {live.run.id}")
        if self._turnstiles.is_pressed(live.run.conversation_id):  # by one that came while this was being accepted
            self._stop(live, "cancel")
        try:
            await live.turn
        except asyncio.CancelledError:
            if live.stop is None:
                live.turn.cancel()
                raise
            await self._abandon_cancelled(turn, live)
        except RunLost:
            log.warning("run_lost", run_id=live.run.id)
            live.log.append(await self._end_of(live.run))
        except ReverieError as error:
            await self._abandon_failed(turn, live, error)
        except Exception:  # the run driver's border: whatever breaks becomes a failed run
            log.exception("run_crashed", run_id=live.run.id, agent_id=live.run.agent_id)
            inside = ReverieError("an error inside the server ended the run; its log has the details")
            await self._abandon_failed(turn, live, inside)
        finally:
            if not live.log.ended:  # nobody may wait for an end that never comes
                live.log.append(_broken_end(live.run))
            if keeper is not None:
                await keeper
            self._live.pop(live.run.id, None)
            for listener in self._listeners:
                listener(live.run, turn.state.view.agent)

    async def _forward(self, turn: Turn, live: _Live) -> None:
        async with aclosing(turn.drive()) as events:
            async for event in events:
                live.log.append(event)

    async def _abandon_cancelled(self, turn: Turn, live: _Live) -> None:
        if live.stop == "cancel":
            await self._abandon(turn, live, StopReason.CANCELLED, CANCELLED_NOTE, None)
        else:
            stop, failure = failure_of(Draining("the server was shut down before the run was finished"), 503)
            await self._abandon(turn, live, stop, DRAINED_NOTE, failure)

    async def _abandon_failed(self, turn: Turn, live: _Live, error: ReverieError) -> None:
        log.info("run_failed", run_id=live.run.id, agent_id=live.run.agent_id, error=str(error))
        stop, failure = failure_of(error, self._status_of(error))
        note = DRAINED_NOTE if isinstance(error, Draining) else f"This call was not finished: {failure.message}"
        await self._abandon(turn, live, stop, note, failure)

    async def _abandon(self, turn: Turn, live: _Live, stop: StopReason, note: str, failure: RunFailure | None) -> None:
        try:
            for event in await turn.abandon(stop, note, failure):
                live.log.append(event)
        except RunLost:
            live.log.append(await self._end_of(live.run))

    async def _end_of(self, run: Run) -> RunEnded:
        """The last event of a run that somebody else ended."""
        try:
            now = await self._deps.database.read(lambda c: runs.get(c, run.organization_id, run.id))
        except NotFound:  # deleted with its agent
            now = replace(run, stop_reason=StopReason.CANCELLED)
        return RunEnded(run_id=run.id, stop_reason=now.stop_reason or StopReason.CANCELLED, usage=now.usage)

    async def _store_events(self, live: _Live) -> None:
        """Store a background run's events, many at a time, until the last one is stored."""
        place = 0
        while True:
            await live.log.wait_beyond(place)
            if not live.log.ended:
                await asyncio.sleep(FLUSH_S)
            batch = live.log.since(place)
            first = place + 1
            try:
                await self._deps.database.write(
                    lambda c: run_events.append(c, live.run.id, first, batch)  # noqa: B023
                )
            except Exception:  # the log is a convenience of readers; the run itself is stored elsewhere
                log.exception("events_not_stored", run_id=live.run.id)
            place += len(batch)
            live.log.show(place)
            if isinstance(batch[-1], RunEnded):
                return

    def _stop(self, live: _Live, why: Literal["cancel", "drain"]) -> None:
        if live.stop is None and live.turn is not None and not live.turn.done():
            live.stop = why
            live.turn.cancel()
            for child in list(self._live.values()):
                if child.run.metadata.get("parent_run_id") == live.run.id:
                    self._stop(child, why)

    # -- other processes, living and dead --------------------------------------------------

    async def _bury_holder(self, run_id: RunId) -> bool:
        """End the run that holds a conversation if its process is dead; tells whether it was."""
        if run_id in self._live:
            return False

        def look(c: Connection) -> bool:
            now = self._deps.clock()
            holder = runs.worker_of(c, run_id)
            known = {other for other, *_ in other_workers(c, self._worker.id)}
            dead = workers.dead_workers(c, self._worker, now, alone=self._options.alone)
            if holder is not None and (holder in dead or (holder not in known and holder != self._worker.id)):
                workers.end_dead_run(c, self._worker, run_id, now)
                return True
            return holder is None

        return await self._deps.database.write(look)

    async def _cancel_elsewhere(self, run: Run) -> Run:
        """Ask the process that drives the run, and wait for its end, or end it when that process is dead."""
        await self._deps.database.write(lambda c: runs.request_cancel(c, run.id))
        while True:
            if await self._bury_holder(run.id):
                break
            now = await self._deps.database.read(lambda c: runs.get(c, run.organization_id, run.id))
            if now.completed_at is not None:
                break
            await asyncio.sleep(POLL_S)
        return await self._deps.database.read(lambda c: runs.get(c, run.organization_id, run.id))

    def _begin_life(self, c: Connection) -> None:
        now = self._deps.clock()
        workers.bury(c, self._worker, workers.dead_workers(c, self._worker, now, alone=self._options.alone), now)
        if self._options.alone:
            # Runs of workers nobody remembers: the database was copied or mended by hand.
            for run in runs.live_runs(c):
                workers.end_dead_run(c, self._worker, run.id, now)
        self._beat_if_due(c, now)

    def _beat_if_due(self, c: Connection, now: datetime) -> None:
        if self._next_beat is None or now >= self._next_beat:
            workers.beat(c, self._worker, now, self._lease)
            self._next_beat = now + self._lease / 3

    async def _keep_lease(self) -> None:
        """Renew the lease while runs live, hear cancels from other processes, and bury the dead."""
        while True:
            await asyncio.sleep(min(self._options.lease_s / 3, HEAR_S))
            try:
                if self._live and not self._options.alone:
                    await self._deps.database.write(self._tend)
            except Exception:  # a missed beat is made up by the next one
                log.exception("lease_not_renewed")

    def _tend(self, c: Connection) -> None:
        now = self._deps.clock()
        self._beat_if_due(c, now)
        for run in runs.live_runs(c, worker_ids=[self._worker.id]):
            live = self._live.get(run.id)
            if run.cancel_requested and live is not None:
                self._stop(live, "cancel")


def _broken_end(run: Run) -> RunEnded:
    failure = RunFailure(
        error_type="internal_error", message="the run could not be ended properly; see the server's log"
    )
    return RunEnded(run_id=run.id, stop_reason=StopReason.ERROR, usage=run.usage, failure=failure)


def _rest(c: Connection, run: Run) -> list[tuple[int, Event]]:
    """The end of an ended run whose process died before its last events were stored."""
    first, saved = workers.unlogged(c, run)
    error: dict[str, Any] = dict(run.error or {})
    failure = RunFailure(**error) if error else None
    last = RunEnded(run_id=run.id, stop_reason=run.stop_reason or StopReason.ERROR, usage=run.usage, failure=failure)
    return list(enumerate([*saved, last], start=first))


def _claim(c: Connection, conversation: Conversation, run_id: RunId) -> None:
    if not conversations.claim(c, conversation.id, run_id):
        raise Busy(conversation.id, conversation.active_run_id or "unknown")


__all__ = ["EngineOptions", "RunEngine", "RunHandle"]
