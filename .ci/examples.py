"""Run every program of examples/ with the command a reader would use; print how each went and how long it took.

Usage: PYTHONPATH=.:src examples.py [URL [MODEL]]. Without a URL: against a server of its own, with the replies that
tests/docs/lessons.py has for each; what is printed and what reached the model is then checked as well.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import MODEL
from tests.docs.lessons import EXAMPLES, LESSONS, Lesson
from tests.support.provider import Provider
from tests.support.server import ROOT, provider_environment, running_server

PACKAGES = (EXAMPLES / "typescript" / "node_modules", ROOT / "tests" / "typescript" / "node_modules")


def main(url: str | None = None, model: str | None = None) -> int:
    """Return 0 when every program passed."""
    failed = 0
    with contextlib.ExitStack() as stack:
        provider = None
        if url is None:
            provider = stack.enter_context(Provider())
            url = stack.enter_context(running_server(None, provider_environment(provider))).url
            model = MODEL
        environment = {**os.environ, "REVERIE_URL": url, **({"REVERIE_MODEL": model} if model else {})}
        loader = stack.enter_context(_typescript_loader())
        for lesson in LESSONS:
            started = time.monotonic()
            faults = _run(lesson, environment, provider, loader)
            if loader is None and lesson.program.endswith(".ts"):
                print(f"  skipped  {lesson.program:<40} (no Node.js with tsx)")
                continue
            failed += bool(faults)
            word = "FAILED" if faults else "passed"
            print(f"  {word:<7}  {lesson.program:<40}{time.monotonic() - started:6.1f} s", flush=True)
            for fault in faults:
                print(f"           {fault}")
    print(f"\n  {len(LESSONS) - failed} of {len(LESSONS)} passed")
    return int(failed > 0)


@contextlib.contextmanager
def _typescript_loader() -> Iterator[str | None]:
    """The address of tsx; the programs find the SDK's package while this is open."""
    packages = next((path for path in PACKAGES if (path / "tsx").is_dir()), None)
    if shutil.which("node") is None or packages is None:
        yield None
        return
    link = PACKAGES[0]
    if made := not link.exists():
        link.symlink_to(packages)
    try:
        yield (packages / "tsx" / "dist" / "loader.mjs").as_uri()
    finally:
        if made:
            link.unlink()


def _run(lesson: Lesson, environment: dict[str, str], provider: Provider | None, loader: str | None) -> list[str]:
    program = EXAMPLES / lesson.program
    is_python = program.suffix == ".py"
    if not is_python and loader is None:
        return []
    if provider:
        provider.reset()
        provider.script(*lesson.replies)
    command = [sys.executable, str(program)] if is_python else ["node", "--import", str(loader), str(program)]
    done = subprocess.run(
        command, cwd=Path(program).parent, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-5:]
    return lesson.faults(done.stdout, provider.requests) if provider else []


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
