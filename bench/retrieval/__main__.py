"""`python -m bench.retrieval`: how much of the evidence the product's own search finds."""

import argparse
import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from sqlalchemy import Connection, select
from tests.support.databases import database_urls, opened
from tests.support.operations import operations_on

from bench.retrieval.dataset import Question, Talk, load
from reverie.auth.keys import LOCAL_CALLER
from reverie.domain.agent import AgentDraft
from reverie.domain.ids import AgentId, ConversationId, MessageId, make_id
from reverie.domain.message import AssistantBody, Message, MessageScope, UserBody, text_parts
from reverie.domain.passage import SearchQuery
from reverie.models.embedders.builtin import BuiltinEmbedder
from reverie.operations import agents
from reverie.operations.base import Operations
from reverie.storage import messages, search
from reverie.storage.schema import messages as message_rows
from reverie.storage.search.corpora import MESSAGES, messages_in
from reverie.storage.search.finding import candidates
from reverie.storage.search.fusing import WEIGHTS, Stand, Weights, lifted, surroundings, weighed

DEPTHS: Final = (5, 10, 20)
Mode = Literal["text", "vector", "hybrid"]
MODES: Final[tuple[Mode, ...]] = ("text", "vector", "hybrid")
GRID: Final = [
    Weights(text=text, beside=beside, session=session, date=date)
    for text, beside, session, date in itertools.product(
        (0.2, 0.25, 0.3, 0.4), (0.0, 0.1, 0.2, 0.3), (0.0, 0.1, 0.15, 0.2), (0.0, 0.1)
    )
]
ORGANIZATION: Final = LOCAL_CALLER.organization_id


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the vector of what it tells."""

    talk: str
    question: Question
    vector: Sequence[float]


@dataclass(frozen=True, slots=True)
class Laid:
    """Talks stored as messages, and who holds them."""

    agents: dict[str, AgentId]
    keys: dict[MessageId, str]
    asked: list[Asked]


async def lay(ops: Operations, embedder: BuiltinEmbedder, talks: Sequence[Talk]) -> Laid:
    """Store talks as messages with vectors, an agent each, and embed the questions."""
    laid = Laid({}, {}, [])
    for talk in talks:
        draft = AgentDraft(name=talk.name, include_base_tools=False)
        agent_id = (await agents.create(ops, LOCAL_CALLER, draft)).agent.id
        laid.agents[talk.name] = agent_id
        rows = _messages(agent_id, talk)
        laid.keys.update({row.id: turn.key for row, turn in zip(rows, talk.turns, strict=True) if turn.key})
        vectors = await embedder.embed([turn.text for turn in talk.turns])

        def store(
            c: Connection,
            rows: list[Message] = rows,
            vectors: list[list[float]] = vectors,
            agent_id: AgentId = agent_id,
        ) -> None:
            messages.append(c, rows)
            places = dict(
                c.execute(
                    select(message_rows.c.id, message_rows.c.seq).where(message_rows.c.agent_id == agent_id)
                ).all()
            )
            placed = [(places[row.id], agent_id, vector) for row, vector in zip(rows, vectors, strict=True)]
            search.add_message_vectors(c, placed)

        await ops.database.write(store)
        where = MessageScope(agent_id=agent_id)

        def wishes(c: Connection, talk: Talk = talk, where: MessageScope = where) -> list[str]:
            return [search.message_wish(c, ORGANIZATION, question.text, where) for question in talk.questions]

        asked = await embedder.embed(await ops.database.read(wishes))
        laid.asked.extend(Asked(talk.name, q, vector) for q, vector in zip(talk.questions, asked, strict=True))
    return laid


def _messages(agent_id: AgentId, talk: Talk) -> list[Message]:
    first = talk.turns[0].speaker
    return [
        Message(
            id=MessageId(make_id("message")),
            organization_id=ORGANIZATION,
            agent_id=agent_id,
            conversation_id=ConversationId(agent_id),
            body=(UserBody if turn.speaker == first else AssistantBody)(parts=text_parts(turn.text)),
            created_at=turn.at + timedelta(seconds=20 * number),
        )
        for number, turn in enumerate(talk.turns)
    ]


async def recall(ops: Operations, laid: Laid, mode: Mode) -> dict[int, tuple[float, float]]:
    """Share of the evidence within the first 5, 10 and 20 hits: of all questions, and of the paraphrased ones."""
    found = {depth: [0, 0] for depth in DEPTHS}
    wanted = [0, 0]
    for item in laid.asked:
        query = SearchQuery(text=item.question.text, vector=item.vector, mode=mode, limit=max(DEPTHS))
        where = MessageScope(agent_id=laid.agents[item.talk])
        ids = await ops.database.read(
            lambda c, query=query, where=where: search.search_messages(c, ORGANIZATION, query, where)  # type: ignore[misc]
        )
        kinds = (0, 1) if item.question.paraphrased else (0,)
        for kind in kinds:
            wanted[kind] += len(item.question.keys)
            for depth in DEPTHS:
                found[depth][kind] += len(item.question.keys & {laid.keys.get(one) for one in ids[:depth]})
    return {depth: (hits[0] / wanted[0], hits[1] / max(wanted[1], 1)) for depth, hits in found.items()}


async def held_out(database: str) -> None:
    """Choose the weights on the questions of some talks and measure them on the others, three times."""
    embedder = BuiltinEmbedder()
    with database_urls(database) as url:
        async with opened(url) as stored:
            ops = operations_on(stored)
            laid = await lay(ops, embedder, load())
            tried = [await ops.database.read(lambda c, item=item: _tried(c, laid, item)) for item in laid.asked]  # type: ignore[misc]
    embedder.close()
    talks = sorted(laid.agents)
    total = dict.fromkeys(DEPTHS, 0.0)
    for fold in range(3):
        out = {talks[fold], talks[fold + 3]}
        seen = [item for item in tried if item.asked.talk not in out]
        unseen = [item for item in tried if item.asked.talk in out]
        best = max(GRID, key=lambda weights: _recall(seen, weights, 10))
        wanted = sum(len(item.asked.question.keys) for item in unseen)
        for depth in DEPTHS:
            total[depth] += _recall(unseen, best, depth) * wanted
        told = "  ".join(f"@{depth} {100 * _recall(unseen, best, depth):5.1f}" for depth in DEPTHS)
        print(f"{database:>10}  held out {' and '.join(sorted(out))}: {told}  chosen {best}", flush=True)
    every = sum(len(item.asked.question.keys) for item in tried)
    print(f"{database:>10}  held out, all: " + "  ".join(f"@{d} {100 * total[d] / every:5.1f}" for d in DEPTHS))
    now = "  ".join(f"@{depth} {100 * _recall(tried, WEIGHTS, depth):5.1f}" for depth in DEPTHS)
    print(f"{database:>10}  the product's weights, all: {now}  {WEIGHTS}")


@dataclass(frozen=True, slots=True)
class Tried:
    """A question with what comes into question as its answer."""

    asked: Asked
    by_text: dict[int, float]
    near: dict[int, float]
    stands: dict[int, Stand]
    keys: dict[int, str]


def _tried(c: Connection, laid: Laid, asked: Asked) -> Tried:
    query = SearchQuery(text=asked.question.text, vector=asked.vector, limit=max(DEPTHS))
    reach = messages_in(ORGANIZATION, MessageScope(agent_id=laid.agents[asked.talk]))
    by_text, near = candidates(c, MESSAGES, reach, query)
    stands = surroundings(c, MESSAGES, reach, {**by_text, **near})
    keys = {seq: key for seq, row in stands.items() if (key := laid.keys.get(MessageId(row.id)))}
    return Tried(asked, by_text, near, stands, keys)


def _recall(tried: Sequence[Tried], weights: Weights, depth: int) -> float:
    found = wanted = 0
    for item in tried:
        scores = weighed(item.by_text, item.near, weights)
        final = lifted(scores, item.stands, item.asked.question.text, weights, threaded=True)
        first = sorted(final, key=lambda seq: (-final[seq], -seq))[:depth]
        wanted += len(item.asked.question.keys)
        found += len(item.asked.question.keys & {item.keys.get(seq) for seq in first})
    return found / wanted


async def measure(database: str) -> None:
    """Print one line for each way of searching."""
    embedder = BuiltinEmbedder()
    with database_urls(database) as url:
        async with opened(url) as stored:
            ops = operations_on(stored)
            laid = await lay(ops, embedder, load())
            for mode in MODES:
                figures = await recall(ops, laid, mode)
                told = "  ".join(
                    f"@{depth} {100 * every:5.1f} ({100 * para:4.1f})" for depth, (every, para) in figures.items()
                )
                print(f"{database:>10}  {mode:<6}  {told}", flush=True)
    embedder.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.retrieval", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--held-out", action="store_true", help="choose weights on some talks, measure on the others")
    wanted = parser.parse_args()
    if wanted.held_out:
        for database in wanted.database or ["sqlite", "postgresql"]:
            asyncio.run(held_out(database))
        return
    print("recall in percent: all questions (those in other words than the answer)")
    for database in wanted.database or ["sqlite", "postgresql"]:
        asyncio.run(measure(database))


if __name__ == "__main__":
    main()
