"""Run every check, go on after a failure, and say at the end what failed and what was skipped and why.

Usage: test.py [PART ...]; parts are named in PARTS. `PYTEST_ARGS` is passed to pytest.
Parts in BESIDE take the processor time that the tests leave, and are shown when the tests are through.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
CODE = [name for name in ("src", "tests", "bench", "examples", ".ci") if (ROOT / name).is_dir()]
TYPESCRIPT = ROOT / "tests" / "typescript"
SKIPPED = re.compile(r"^SKIPPED \[(\d+)\] (\S+?): (.*)$")
SUMMARY = re.compile(r"^=* ?(\d+ (passed|failed|skipped|errors?)\b.* in [\d.]+s.*?) ?=*$")


@dataclass
class Outcome:
    """How one part went."""

    code: int = 0
    skipped: list[str] = field(default_factory=list)
    summary: str = ""
    """The part's own last word, repeated as the last line of everything."""


def run(*command: str | Path, cwd: Path = ROOT) -> Outcome:
    """Run a command with its output shown as it comes."""
    return Outcome(subprocess.run([str(word) for word in command], cwd=cwd, check=False).returncode)


class Beside:
    """A part in a process of its own, that gives way to others; its output is kept until it is asked for."""

    def __init__(self, name: str) -> None:
        self._started = time.monotonic()
        self._seconds = 0.0
        self._output = b""
        command = [*(["nice"] if shutil.which("nice") else []), sys.executable, __file__, "--bare", name]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        self._output, _ = self._process.communicate()
        self._seconds = time.monotonic() - self._started

    def ended(self) -> tuple[Outcome, float]:
        """Wait for it, show what it said, and return how it went and how long it took."""
        self._reader.join()
        sys.stdout.buffer.write(self._output)
        sys.stdout.buffer.flush()
        return Outcome(self._process.returncode), self._seconds


def lint() -> Outcome:
    """Ruff's rules and its formatting."""
    checked = run(BIN / "ruff", "check", *CODE)
    formatted = run(BIN / "ruff", "format", "--check", "--quiet", *CODE)
    if formatted.code:
        print("some files are not formatted: run `make format`")
    return Outcome(checked.code or formatted.code)


def types() -> Outcome:
    """Mypy, strict."""
    return run(BIN / "mypy")


def ladder() -> Outcome:
    """The layers of the package."""
    return run(BIN / "lint-imports", "--no-cache", "--no-logo")


def typescript() -> Outcome:
    """What the tests with the TypeScript SDK need."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        return Outcome(0, [f"the TypeScript SDK: no {' and no '.join(missing)} here; install Node.js 18 or newer"])
    if not (TYPESCRIPT / "package.json").is_file():
        return Outcome(0, ["the TypeScript SDK: tests/typescript/package.json is missing"])
    lock = TYPESCRIPT / "package-lock.json"
    installed = TYPESCRIPT / "node_modules" / ".package-lock.json"
    if installed.is_file() and lock.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return Outcome()
    step = "ci" if lock.is_file() else "install"
    return run("npm", step, "--no-audit", "--no-fund", "--loglevel=error", cwd=TYPESCRIPT)


def site() -> Outcome:
    """The documentation site; a link that leads nowhere is an error."""
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [str(BIN / "mkdocs"), "build", "--strict", "--site-dir", str(ROOT / "build" / "site")]
    return Outcome(subprocess.run(command, cwd=ROOT, env=quiet, check=False).returncode)


def tests() -> Outcome:
    """Pytest, on both databases."""
    workers = os.environ.get("PYTEST_WORKERS", str(max(2, os.cpu_count() or 2)))
    command = [str(BIN / "pytest"), "-q", "-rs", "--durations=10", "-n", workers]
    command += shlex.split(os.environ.get("PYTEST_ARGS", ""))
    # Hundreds of servers are started: without byte code each would compile the whole package.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    outcome = Outcome()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if match := SKIPPED.match(line):
                outcome.skipped.append(f"{match[1]} x {match[2]}: {match[3]}")
            elif match := SUMMARY.match(line.rstrip()):
                outcome.summary = match[1]
    outcome.code = process.returncode
    return outcome


PARTS: dict[str, Callable[[], Outcome]] = {
    "lint": lint,
    "ladder": ladder,
    "typescript": typescript,
    "tests": tests,
    "types": types,
    "site": site,
}
BESIDE = ("types", "site")
"""Started with the tests where those are asked for, so that no core is idle while a test waits."""


def main(names: list[str]) -> int:
    """Return 0 when every part passed."""
    if names[:1] == ["--bare"]:
        return PARTS[names[1]]().code
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    wanted = [name for name in PARTS if not names or name in names]
    report: list[str] = []
    skipped: list[str] = []
    summaries: list[str] = []
    failed = False
    beside: dict[str, Beside] = {}
    for name in wanted:
        if name == "tests":
            beside = {other: Beside(other) for other in BESIDE if other in wanted}
        print(f"\n── {name} " + "─" * (76 - len(name)), flush=True)
        started = time.monotonic()
        if name in beside:
            outcome, seconds = beside[name].ended()
        else:
            outcome, seconds = PARTS[name](), time.monotonic() - started
        failed |= outcome.code != 0
        skipped += outcome.skipped
        summaries += [outcome.summary] if outcome.summary else []
        note = "  beside the tests" if name in beside else ""
        report.append(f"  {'FAILED' if outcome.code else 'passed'}  {name:<12}{seconds:7.1f} s{note}")
    print("\n── result " + "─" * 70)
    print("\n".join(report))
    print("  nothing was skipped" if not skipped else "  skipped:")
    for line in skipped:
        print(f"    {line}")
    for line in summaries:
        print(line)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
