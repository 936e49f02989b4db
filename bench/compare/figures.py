"""What was measured, kept on the disk from the first row on: whatever ends the program takes nothing with it."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FLOOR: Final = "the floor: one request to the provider, one transaction, by hand"


@dataclass(slots=True)
class Figure:
    """One operation on one server."""

    server_ms: float | None = None
    """CPU of its processes for each operation."""
    database_ms: float | None = None
    idle_ms: float = 0.0
    """What was taken off for it: CPU of the idle server while the others were being asked."""
    waits_ms: list[float] = field(default_factory=list)
    other: float | None = None
    """What is no time: turns a second, megabytes, seconds."""
    failure: str | None = None

    @property
    def cpu_ms(self) -> float | None:
        """Server and database together."""
        return None if self.server_ms is None else self.server_ms + (self.database_ms or 0.0)

    def quantile(self, part: float) -> float | None:
        """The wait that `part` of the operations do not exceed, in milliseconds."""
        last = len(self.waits_ms) - 1
        return sorted(self.waits_ms)[min(last, int(len(self.waits_ms) * part))] if self.waits_ms else None

    def as_json(self) -> dict[str, Any]:
        """The figure, for whoever wants to reckon with it."""
        return {
            "server_ms": self.server_ms, "database_ms": self.database_ms, "idle_taken_off_ms": self.idle_ms,
            "times": len(self.waits_ms), "p50_ms": self.quantile(0.5), "p95_ms": self.quantile(0.95),
            "other": self.other, "failure": self.failure,
        }  # fmt: skip

    def __str__(self) -> str:
        if self.failure is not None:
            return f"FAILED ({self.failure})"
        if self.other is not None:
            return f"{self.other:.1f}"
        waits = f", p50 {self.quantile(0.5):.1f}" if self.waits_ms else ""
        return f"{self.cpu_ms:.2f} ms CPU{waits}"


class Report:
    """The rows so far; each is shown and saved as it comes."""

    def __init__(self, folder: Path, names: Sequence[str], heading: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.rows: dict[str, list[Figure]] = {}
        self._folder = folder
        self._names = list(names)
        self._heading = heading
        self._began = time.monotonic()

    def add(self, what: str, figures: Sequence[Figure]) -> None:
        """Keep a row."""
        self.rows[what] = list(figures)
        print(f"[{time.monotonic() - self._began:5.0f} s] {what}: {' · '.join(map(str, figures))}", flush=True)
        _replace(self._folder / "compare.md", self.page())
        rows = {what: [figure.as_json() for figure in row] for what, row in self.rows.items()}
        _replace(self._folder / "compare.json", json.dumps({"servers": self._names, "rows": rows}, indent=1))

    def page(self) -> str:
        """The tables, in Markdown."""
        ours = [name.rpartition(" ")[2] for name in self._names[1:]]
        ratios = [f"ratio, {name}" for name in ours]
        timed = {what: row for what, row in self.rows.items() if any(item.server_ms is not None for item in row)}
        waits = {what: row for what, row in self.rows.items() if any(item.waits_ms for item in row)}
        other = {what: row for what, row in self.rows.items() if what not in timed and what not in waits}
        floors = self.rows.get(FLOOR)
        parts = [
            f"{self._heading}\n",
            "## CPU of an operation, milliseconds (server + database)\n",
            _table(
                ["", *self._names, *ratios, *(f"× floor, {name}" for name in ours)],
                [
                    [what, *map(_cpu, row), *_ratios([item.cpu_ms for item in row]), *_above(row, floors)]
                    for what, row in timed.items()
                ],
            ),
            "## How long the client waits, milliseconds (p50 / p95, how often)\n",
            _table(
                ["", *self._names, *ratios],
                [
                    [what, *map(_waits, row), *_ratios([item.quantile(0.5) for item in row])]
                    for what, row in waits.items()
                ],
            ),
            "## The rest\n",
            _table(["", *self._names], [[what, *map(_other, row)] for what, row in other.items()]),
            *self._failures(),
        ]
        return "\n".join(parts)

    def _failures(self) -> list[str]:
        lines = [
            f"- {what}, {name}: {figure.failure}"
            for what, row in self.rows.items()
            for name, figure in zip(self._names, row, strict=True)
            if figure.failure is not None
        ]
        return ["## What failed\n", *lines, ""] if lines else []


def _replace(path: Path, text: str) -> None:
    half = path.with_suffix(".half")
    half.write_text(text)
    half.replace(path)


def _table(head: list[str], lines: list[list[str]]) -> str:
    ruled = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ruled, *lines)) + "\n"


def _cpu(figure: Figure) -> str:
    if figure.failure is not None or figure.server_ms is None:
        return "failed"
    if figure.database_ms is None:
        return f"{figure.server_ms:.3f}"
    return f"{figure.cpu_ms:.1f} ({figure.server_ms:.1f} + {figure.database_ms:.1f})"


def _waits(figure: Figure) -> str:
    if figure.failure is not None or not figure.waits_ms:
        return "failed"
    return f"{_short(figure.quantile(0.5))} / {_short(figure.quantile(0.95))}, {len(figure.waits_ms)}"


def _other(figure: Figure) -> str:
    return "failed" if figure.other is None else f"{figure.other:.1f}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def _ratios(values: Sequence[float | None]) -> list[str]:
    first, *ours = values
    return [f"{first / value:.1f} ×" if first and value else "" for value in ours]


def _above(row: Sequence[Figure], floors: Sequence[Figure] | None) -> list[str]:
    """How many floors each of ours is."""
    if floors is None or row is floors or not row[0].waits_ms:
        return ["" for _ in row[1:]]
    pairs = [(item.cpu_ms, floor.cpu_ms) for item, floor in zip(row[1:], floors[1:], strict=True)]
    return [f"{cpu / floor:.1f}" if cpu and floor else "" for cpu, floor in pairs]
