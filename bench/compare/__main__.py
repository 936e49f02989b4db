"""`make compare`: Reverie beside the server that it succeeds, driven by one program with one instant provider.

Everything runs here, in one go: letta 0.16.8 over PostgreSQL, Reverie over SQLite, Reverie over PostgreSQL. Operations
go to the three in alternation, so that a busy moment of the machine hits all. CPU is that of a server's and its
database's processes, read from the system before and after each block of work.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.__main__ import instant_provider
from bench.compare.program import Figure, Rows, as_json, compare
from bench.compare.targets import Target, all_targets

SERVED = [
    {"name": "gpt-4o-mini", "context_window": 128_000},
    {"name": "text-embedding-3-small", "kind": "embedding", "dimensions": 1536},
]


def page(rows: Rows, targets: Sequence[Target]) -> str:
    """The tables, in Markdown."""
    names = [target.name for target in targets]
    timed = {what: row for what, row in rows.items() if row[0].server_ms is not None}
    waits = {what: row for what, row in timed.items() if row[0].waits_ms}
    other = {what: row for what, row in rows.items() if row[0].other is not None}
    head = ["", *names, *(f"ratio, {name.rpartition(' ')[2]}" for name in names[1:])]
    parts = [
        "### CPU of an operation, milliseconds (server + database)\n",
        _table(head, [[what, *map(_cpu, row), *_ratios([item.cpu_ms for item in row])] for what, row in timed.items()]),
        "### How long the client waits, milliseconds (p50 / p95)\n",
        _table(
            head,
            [[what, *map(_waits, row), *_ratios([item.quantile(0.5) for item in row])] for what, row in waits.items()],
        ),
        "### The rest\n",
        _table(
            ["", *names],
            [[what, *(f"{item.other:.1f}" for item in row if item.other is not None)] for what, row in other.items()],
        ),
    ]
    return "\n".join(parts)


def _table(head: list[str], lines: list[list[str]]) -> str:
    ruled = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ruled, *lines)) + "\n"


def _cpu(figure: Figure) -> str:
    if figure.database_ms is None:
        return f"{figure.server_ms:.2f}"
    return f"{figure.cpu_ms:.1f} ({figure.server_ms:.1f} + {figure.database_ms:.1f})"


def _waits(figure: Figure) -> str:
    return f"{figure.quantile(0.5):.1f} / {figure.quantile(0.95):.1f}"


def _ratios(values: Sequence[float | None]) -> list[str]:
    first, *ours = values
    return [f"{first / value:.1f} ×" if first and value else "" for value in ours]


def machine() -> str:
    """What this ran on."""
    model = next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    memory = psutil.virtual_memory().total / 2**30
    return f"{time.strftime('%Y-%m-%d')}, {psutil.cpu_count()} cores ({model}), {memory:.0f} GiB"


def _cpuinfo() -> list[str]:
    info = Path("/proc/cpuinfo")
    return info.read_text().splitlines() if info.exists() else []


async def _serve_models(provider: str) -> None:
    async with httpx.AsyncClient() as http:
        (await http.post(f"{provider}/_models", json=SERVED)).raise_for_status()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of all counts, for a quick look")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    wanted = parser.parse_args()
    with instant_provider() as provider, tempfile.TemporaryDirectory(prefix="rc-") as folder:
        asyncio.run(_serve_models(provider))
        with all_targets(provider, Path(folder)) as targets:

            async def run() -> Any:
                return await compare(targets, provider, wanted.scale, lambda line: print(line, flush=True))

            rows = asyncio.run(run())
            print(f"\n{machine()}\n\n{page(rows, targets)}")
            if wanted.json:
                wanted.json.write_text(as_json(rows))


if __name__ == "__main__":
    main()
