"""`make compare`: Reverie beside the server that it succeeds, driven by one program with one instant provider.

Everything runs here, in one go: letta 0.16.8 over PostgreSQL, Reverie over SQLite, Reverie over PostgreSQL. Operations
go to the three in alternation, so that a busy moment of the machine hits all. CPU is that of a server's and its
database's processes, read from the system before and after each row, less what they take at rest while the others are
being asked. Each row is printed and saved as it comes; what fails is shown as failed, and the rest goes on.
"""

import argparse
import asyncio
import platform
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import httpx
import psutil
from tests.support.server import ROOT

from bench.__main__ import instant_provider
from bench.compare.driving import Comparison
from bench.compare.figures import Report
from bench.compare.program import PARTS, rest
from bench.compare.targets import VERSION, Target, all_targets

SERVED = [
    {"name": "gpt-4o-mini", "context_window": 128_000},
    {"name": "text-embedding-3-small", "kind": "embedding", "dimensions": 1536},
]


def heading(targets: Sequence[Target], scale: float) -> str:
    """Where and when, and with what this ran."""
    model = next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    memory = psutil.virtual_memory().total / 2**30
    postgresql = next(target.database_version for target in targets if target.database_version)
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {psutil.cpu_count()} cores ({model}), {memory:.0f} GiB; "
        f"Python {platform.python_version()}, PostgreSQL {postgresql}, letta {VERSION}, "
        f"Reverie {version('reverie')}; scale {scale:g}."
    )


def _cpuinfo() -> list[str]:
    info = Path("/proc/cpuinfo")
    return info.read_text().splitlines() if info.exists() else []


async def measure(targets: Sequence[Target], provider: str, wanted: argparse.Namespace, report: Report) -> None:
    """The wanted parts, one after the other."""
    run = Comparison(targets, provider, wanted.scale, report)
    await rest(run)
    for name in wanted.part or PARTS:
        try:
            await PARTS[name](run)
        except Exception:  # noqa: BLE001 - the other parts are worth having
            print(f"The part {name} failed:\n{traceback.format_exc()}", flush=True)
    for visitor in run.visitors:
        await visitor.aclose()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of all counts, for a quick look")
    parser.add_argument("--part", choices=PARTS, action="append", help="measure this only")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "compare", help="the folder for the results")
    wanted = parser.parse_args()
    # Whoever ends this program early must not leave servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with instant_provider() as provider, tempfile.TemporaryDirectory(prefix="rc-") as folder:
        # Before the servers start: the retired one looks for models then.
        httpx.post(f"{provider}/_models", json=SERVED).raise_for_status()
        with all_targets(provider, Path(folder)) as targets:
            report = Report(wanted.out, [target.name for target in targets], heading(targets, wanted.scale))
            asyncio.run(measure(targets, provider, wanted, report))
        print(f"\n{report.page()}\nSaved in {wanted.out}")


if __name__ == "__main__":
    main()
