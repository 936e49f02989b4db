"""Which runs wait for which conversations: agents that ask each other must never wait in a ring."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reverie.domain.errors import Entangled
from reverie.domain.ids import ConversationId, RunId
from reverie.domain.json import JsonObject
from reverie.domain.run import Run

Holder = Callable[[ConversationId], RunId | None]
"""The run that holds a conversation now."""


class Lineage:
    """What the runs of this process wait for, and how far from agent to agent they may reach."""

    def __init__(self, holder: Holder, max_depth: int) -> None:
        self._holder = holder
        self._max_depth = max_depth
        self._waits: dict[RunId, set[ConversationId]] = {}

    def descent(self, parent: Run, *, waits: bool) -> JsonObject:
        """What is kept with a run that a tool call of `parent` asks for; with `waits` the call waits for its end.

        Raises:
            Entangled: too many runs stand behind it already.
        """
        depth = parent.metadata.get("depth", 0) + 1
        if depth > self._max_depth:
            raise Entangled(
                f"this message would be the {depth}th in a row from agent to agent and {self._max_depth} are allowed; "
                "answer with what you know"
            )
        kept: JsonObject = {"sender_run_id": parent.id, "depth": depth}
        if parent.group_id is not None:
            kept["group_id"] = parent.group_id
        if waits:
            kept |= {
                "parent_run_id": parent.id,
                "callers": [*parent.callers, parent.agent_id],
                "calling_runs": [*parent.metadata.get("calling_runs", ()), parent.id],
            }
        return kept

    @contextmanager
    def waiting(self, run: Run, thread: ConversationId) -> Iterator[None]:
        """Note for the length of the block that a run waits for a thread.

        Raises:
            Entangled: the thread's run waits for this one, so both would wait forever.
        """
        self._refuse_ring(run, thread)
        self._waits.setdefault(run.id, set()).add(thread)
        try:
            yield
        finally:
            self._waits[run.id].discard(thread)
            if not self._waits[run.id]:
                del self._waits[run.id]

    def _refuse_ring(self, run: Run, thread: ConversationId) -> None:
        lineage = {run.id, *(RunId(item) for item in run.metadata.get("calling_runs", ()))}
        seen: set[ConversationId] = set()
        ahead = [thread]
        while ahead:
            place = ahead.pop()
            if place in seen:
                continue
            seen.add(place)
            holder = self._holder(place)
            if holder in lineage:
                raise Entangled(
                    "that agent waits for an answer that depends on you, so asking it now would keep both waiting "
                    "forever; finish your turn, or send the message without waiting for a reply"
                )
            if holder is not None:
                ahead += self._waits.get(holder, ())
