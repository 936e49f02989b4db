"""What is said to a group: its agents answer one after the other, each in an ordinary run of its own.

This is a policy over the engine, not another loop: it reads what an ended run said and starts the
next one. What a member hears is what was said in the group since it spoke last.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

import structlog

from reverie.context.transcript import spoken
from reverie.domain.agent import Agent
from reverie.domain.content import TextPart, join_text
from reverie.domain.errors import InvalidInput, ReverieError
from reverie.domain.events import Event, MessageSaved, RunEnded, RunFailure
from reverie.domain.group import Group, ManagerType
from reverie.domain.ids import AgentId, ConversationId, RunId, make_otid
from reverie.domain.inputs import Request, SayInput
from reverie.domain.message import Message, UserBody, text_parts
from reverie.domain.run import Usage
from reverie.domain.stop_reason import RunStatus, StopReason
from reverie.loop.turn import failure_of
from reverie.runs.engine import RunEngine
from reverie.runs.log import RunLog
from reverie.runs.queue import Turnstiles
from reverie.storage import agents, groups
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

UNHEARD: Final = 100
"""Most messages of the group that a member is told when its turn comes."""


@dataclass(frozen=True, slots=True)
class TalkHandle:
    """What the group answers, as it comes."""

    _log: RunLog

    def events(self) -> AsyncGenerator[tuple[int, Event], None]:
        """Numbered events of all runs that are shown, and one end."""
        return self._log.follow()


class GroupTalks:
    """Lets groups answer. One message at a time in each group; `close` it before the engine."""

    def __init__(self, engine: RunEngine, database: Database, status_of: Callable[[ReverieError], int]) -> None:
        self._engine = engine
        self._database = database
        self._status_of = status_of
        self._turnstiles = Turnstiles()
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, group: Group, request: Request) -> TalkHandle:
        """Say something to the group. Its first run is accepted when this returns.

        Raises:
            InvalidInput: the group has nobody who could answer.
            ReverieError: whatever keeps the first run from being accepted.
        """
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        events = RunLog()
        task = asyncio.create_task(self._conduct(group, request, events, accepted), name=f"talk in {group.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.shield(accepted)
        except asyncio.CancelledError:
            if not accepted.done():  # still waiting in line, and nobody wants it any more
                task.cancel()
            raise
        return TalkHandle(events)

    async def close(self) -> None:
        """Wait for what is under way; a draining engine ends it soon."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)
        for task in list(self._tasks):
            task.cancel()

    async def _conduct(self, group: Group, request: Request, events: RunLog, accepted: "asyncio.Future[None]") -> None:
        talk = _Talk(self._engine, self._database, group, request, events, accepted)
        try:
            async with self._turnstiles.pass_through(group.id):
                await talk.hold()
            events.append(talk.ended(StopReason.END_TURN))
        except _Stopped as stop:
            events.append(talk.ended(stop.reason, stop.failure))
        except asyncio.CancelledError:
            if not accepted.done():
                accepted.cancel()
            events.append(talk.ended(StopReason.CANCELLED))
            raise
        except ReverieError as error:
            self._fail(talk, error, events, accepted)
        except Exception:  # the driver's border: whatever breaks ends the talk
            log.exception("talk_crashed", group_id=group.id)
            inside = ReverieError("an error inside the server ended the group's answer; its log has the details")
            self._fail(talk, inside, events, accepted)

    def _fail(self, talk: "_Talk", error: ReverieError, events: RunLog, accepted: "asyncio.Future[None]") -> None:
        if not accepted.done():
            accepted.set_exception(error)
            return
        reason, failure = failure_of(error, self._status_of(error))
        events.append(talk.ended(reason, failure))


class _Stopped(Exception):
    """A run ended in a way that ends the group's answer."""

    def __init__(self, reason: StopReason, failure: RunFailure | None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.failure = failure


@dataclass(slots=True)
class _Talk:
    """One message to a group, and all that is answered."""

    engine: RunEngine
    database: Database
    group: Group
    request: Request
    events: RunLog
    accepted: "asyncio.Future[None]"
    run_ids: list[RunId] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    names: dict[AgentId, str] = field(default_factory=dict)

    async def hold(self) -> None:
        """Let everybody answer whose turn it is."""
        group = self.group
        known = await self.database.read(lambda c: agents.get_many(c, group.organization_id, group.everyone))
        members = {agent.id: agent for agent in known}
        self.names = {agent.id: agent.name for agent in known}
        said = tuple(
            replace(item, group_id=group.id, otid=item.otid or make_otid())
            for item in self.request.inputs
            if isinstance(item, SayInput)
        )
        match group.manager_type:
            case ManagerType.SUPERVISOR | ManagerType.SLEEPTIME | ManagerType.VOICE_SLEEPTIME:
                await self._turn(_manager(group), said)
            case ManagerType.ROUND_ROBIN | ManagerType.SWARM:
                await self._take_turns(members, said)
            case ManagerType.DYNAMIC:
                await self._choose_speakers(members, said)
            case impossible:
                assert_never(impossible)

    def ended(self, reason: StopReason, failure: RunFailure | None = None) -> RunEnded:
        """The one end of the whole answer."""
        last = self.run_ids[-1] if self.run_ids else RunId("")
        return RunEnded(run_id=last, stop_reason=reason, usage=self.usage, failure=failure, run_ids=tuple(self.run_ids))

    async def _take_turns(self, members: dict[AgentId, Agent], said: tuple[SayInput, ...]) -> None:
        speakers = _speakers(self.group)
        for turn in range(self.group.max_turns or len(speakers)):
            speaker = members[speakers[turn % len(speakers)]]
            inputs = await self._unheard(speaker.id, said)
            if not inputs:  # nobody else has said anything since
                return
            await self._turn(speaker.id, inputs, note=self._note(speaker))

    async def _choose_speakers(self, members: dict[AgentId, Agent], said: tuple[SayInput, ...]) -> None:
        speakers, token = _speakers(self.group), self.group.termination_token
        fresh = [f"user: {text}" for item in said if (text := join_text(item.parts).strip())]
        speaker: AgentId | None = None
        for _ in range(self.group.max_turns or len(speakers)):
            options = [members[item] for item in speakers if item != speaker] or [members[speakers[0]]]
            question = SayInput(role="system", parts=text_parts(self._question(options, fresh)), group_id=self.group.id)
            choice = "\n".join(await self._turn(_manager(self.group), (question,), shown=False))
            if token and token in choice:
                return
            chosen = _chosen(choice, options)
            inputs = await self._unheard(chosen.id, said)
            if not inputs:  # nobody else has said anything since
                return
            words = await self._turn(chosen.id, inputs, note=self._note(chosen))
            if token and any(token in text for text in words):
                return
            speaker = chosen.id
            fresh = [f"{chosen.name}: {text}" for text in words]

    async def _turn(
        self, agent_id: AgentId, inputs: tuple[SayInput, ...], *, note: str | None = None, shown: bool = True
    ) -> list[str]:
        """Let one agent answer, and return its words.

        Raises:
            _Stopped: it failed, was cancelled, or waits for an approval.
        """
        request = replace(
            self.request,
            inputs=inputs,
            options=replace(self.request.options, note=note),
            metadata={**self.request.metadata, "group_id": self.group.id},
        )
        handle = await self.engine.send(
            self.group.organization_id, ConversationId(agent_id), request, when_busy="enqueue"
        )
        self.run_ids.append(handle.run.id)
        if not self.accepted.done():
            self.accepted.set_result(None)
        words: list[str] = []
        async with aclosing(handle.events()) as events:
            async for _, event in events:
                if isinstance(event, RunEnded):
                    self.usage = self.usage + event.usage
                    if event.stop_reason.run_status is not RunStatus.COMPLETED:
                        raise _Stopped(event.stop_reason, event.failure)
                    if event.stop_reason is StopReason.REQUIRES_APPROVAL:
                        raise _Stopped(event.stop_reason, None)
                    continue
                if isinstance(event, MessageSaved):
                    words += spoken(event.message.body)
                if shown:
                    self.events.append(event)
        return words

    async def _unheard(self, agent_id: AgentId, said: tuple[SayInput, ...]) -> tuple[SayInput, ...]:
        """What the agent has not heard yet; what the client says now is last where nobody has heard it so far."""
        found = await self.database.read(lambda c: groups.unheard(c, self.group, agent_id, UNHEARD))
        heard = [item for message in found if (item := self._retold(message)) is not None]
        if not self.run_ids or (self.group.manager_type is ManagerType.DYNAMIC and len(self.run_ids) == 1):
            return (*heard, *said)
        return tuple(heard)

    def _retold(self, message: Message) -> SayInput | None:
        body = message.body
        if isinstance(body, UserBody):
            return SayInput(role="user", parts=body.parts, otid=message.otid, name=message.name, group_id=self.group.id)
        words = "\n".join(spoken(body))
        if not words:
            return None
        name = message.name or self.names.get(message.agent_id, message.agent_id)
        return SayInput(
            role="user",
            parts=(TextPart(text=f"[{name}] {words}"),),
            otid=message.otid,
            name=name,
            sender_id=message.agent_id,
            group_id=self.group.id,
        )

    def _note(self, speaker: Agent) -> str:
        others = ", ".join(self.names[item] for item in self.group.speakers if item != speaker.id) or "nobody else"
        about = f" It is about: {self.group.description}" if self.group.description else ""
        lines = [
            f"You take part in a conversation of several agents and a user, as {speaker.name}.{about}",
            f"The other members: {others}. What they say begins with their name in brackets; the rest is the user's.",
            "Everybody reads what you answer. Speak for yourself only, add what is yours to add, and be brief.",
        ]
        if self.group.manager_type is ManagerType.DYNAMIC and self.group.termination_token:
            lines.append(
                f"When the conversation has reached its end, say so with {self.group.termination_token} in your answer."
            )
        return "<group_conversation>\n" + "\n".join(lines) + "\n</group_conversation>"

    def _question(self, options: list[Agent], fresh: list[str]) -> str:
        known = "\n".join(
            f"- {agent.name} ({agent.id}){': ' + agent.description if agent.description else ''}" for agent in options
        )
        about = f" The group: {self.group.description}" if self.group.description else ""
        said = "\n".join(fresh) or "(nothing new)"
        token = self.group.termination_token
        end = f" If nobody needs to speak any more, answer {token} instead." if token else ""
        return (
            f"You lead a conversation of several agents and a user.{about}\nSaid since you were last asked:\n{said}\n\n"
            f"Who shall speak next? Choose one of:\n{known}\n"
            f"Answer with the name of that one only; do not answer the messages yourself.{end}"
        )


def _manager(group: Group) -> AgentId:
    if group.manager_agent_id is None:
        raise InvalidInput(f"group {group.id!r} has no managing agent; give it one with PATCH")
    return group.manager_agent_id


def _speakers(group: Group) -> tuple[AgentId, ...]:
    if not group.speakers:
        raise InvalidInput(f"group {group.id!r} has no members who could answer; add some with PATCH")
    return group.speakers


def _chosen(choice: str, options: list[Agent]) -> Agent:
    """The agent that the answer names, by id or by name, the longest name first; the first one where it names none."""
    for agent in options:
        if agent.id in choice:
            return agent
    for agent in sorted(options, key=lambda item: len(item.name), reverse=True):
        if re.search(rf"(?<!\w){re.escape(agent.name)}(?!\w)", choice, re.IGNORECASE):
            return agent
    return options[0]


__all__ = ["GroupTalks", "TalkHandle"]
