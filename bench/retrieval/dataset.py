"""The talks and questions of this evaluation, read and woven together.

A talk is written by hand in `talks/`: sessions (`# time`), turns (`Name: words {key}`) and questions
(`? words | keys of the turns that answer`; `??` where it is asked in other words than the answer).
Small talk is drawn from `smalltalk.txt` between the turns, with a fixed seed, so that a talk is about
twice as long as what is written.
"""

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_DRAWN: Final = 8
"""Exchanges of small talk in each session."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that was said."""

    speaker: str
    text: str
    at: datetime
    """When its session began."""
    key: str | None
    """What questions name it by."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and which turns answer it."""

    text: str
    keys: frozenset[str]
    paraphrased: bool
    """Asked in words that the answer does not hold."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A long conversation of two people."""

    name: str
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]


def load() -> list[Talk]:
    """All talks, always the same."""
    pool = [tuple(line.split(" | ")) for line in (_HERE / "smalltalk.txt").read_text("utf-8").splitlines()]
    return [_read(path, pool) for path in sorted((_HERE / "talks").glob("*.txt"))]


def _read(path: Path, pool: list[tuple[str, ...]]) -> Talk:
    rng = random.Random(path.stem)
    drawn = iter(rng.sample(pool, len(pool)))
    sessions: list[tuple[datetime, list[Turn]]] = []
    questions: list[Question] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("# "):
            sessions.append((datetime.fromisoformat(line[2:]).replace(tzinfo=UTC), []))
        elif line.startswith("?"):
            mark, _, rest = line.partition(" ")
            words, keys = rest.split(" | ")
            questions.append(Question(words, frozenset(keys.split()), paraphrased=mark == "??"))
        else:
            found = re.fullmatch(r"(\w+): (.*?)(?: \{(\w+)\})?", line)
            assert found, line
            at, turns = sessions[-1]
            turns.append(Turn(found[1], found[2], at, found[3]))
    names = sorted({turn.speaker for _, turns in sessions for turn in turns})
    woven: list[Turn] = []
    for at, turns in sessions:
        places = sorted(rng.choice(range(1, len(turns) + 1)) for _ in range(_DRAWN))
        for place, turn in enumerate(turns):
            woven.append(turn)
            for _ in range(places.count(place + 1)):
                woven += _exchange(next(drawn), names, at, rng)
    known = {turn.key for turn in woven if turn.key}
    assert all(question.keys <= known for question in questions), path
    return Talk(path.stem, tuple(woven), tuple(questions))


def _exchange(lines: tuple[str, ...], names: list[str], at: datetime, rng: random.Random) -> list[Turn]:
    a, b = rng.sample(names, 2)
    return [Turn(who, line.format(a=a, b=b), at, None) for who, line in zip((a, b), lines, strict=True)]
