"""The sandbox against tools that mean harm. Nothing is mocked: every attack is really tried."""

import asyncio
import os
import shutil
import sqlite3
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from reverie.domain.ids import OrganizationId, ToolId
from reverie.domain.tool import PipRequirement, Tool
from reverie.tools.base import SandboxOptions, ToolOutcome, ToolRun
from reverie.tools.executors.sandbox import SandboxExecutor

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
pytestmark = needs_bwrap

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def tool(source: str, **fields: Any) -> Tool:
    given: dict[str, Any] = {"name": "probe", "json_schema": {}, "source_code": source} | fields
    return Tool(id=ToolId("tool-1"), organization_id=OrganizationId("org-1"), created_at=NOW, updated_at=NOW, **given)


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[SandboxExecutor]:
    options = SandboxOptions(data_dir=str(tmp_path), timeout_s=20, memory_bytes=256 * 2**20)
    executor = SandboxExecutor(options, environment=dict(os.environ))
    yield executor
    await executor.aclose()


async def run(
    executor: SandboxExecutor, source: str, arguments: dict[str, Any] | None = None, **more: Any
) -> ToolOutcome:
    fields = more.pop("fields", {})
    return await executor.run(ToolRun(tool=tool(source, **fields), arguments=arguments or {}, **more))


def text(outcome: ToolOutcome) -> str:
    return "".join(getattr(part, "text", "") for part in outcome.content)


async def test_it_works_here(executor: SandboxExecutor) -> None:
    report = await executor.report()
    assert report.works, report.detail


async def test_a_result_keeps_its_value_apart_from_what_was_printed(executor: SandboxExecutor) -> None:
    source = """
import sys
def probe(a: int, b: list[int], c: float):
    print("out")
    print("err", file=sys.stderr)
    return {"sum": a + sum(b), "hex": c.hex()}
"""
    outcome = await run(executor, source, {"a": 1, "b": [2, 3], "c": 1})
    assert (outcome.status, outcome.value) == ("success", {"sum": 6, "hex": "0x1.0000000000000p+0"})
    assert text(outcome) == '{"sum": 6, "hex": "0x1.0000000000000p+0"}'
    assert (outcome.stdout, outcome.stderr) == (("out\n",), ("err\n",))


async def test_async_pydantic_and_dataclass_tools_run(executor: SandboxExecutor) -> None:
    source = """
from __future__ import annotations
import asyncio, dataclasses
from pydantic import BaseModel
@dataclasses.dataclass
class Point:
    x: int
class Order(BaseModel):
    name: str
    at: Point | None = None
async def probe(orders: list[Order], agent_state) -> Order:
    import letta_client
    await asyncio.sleep(0)
    assert isinstance(orders[0], Order) and isinstance(orders[0].at, Point)
    return orders[0]
"""
    outcome = await run(executor, source, {"orders": [{"name": "a", "at": {"x": 1}}]})
    assert (text(outcome), outcome.value) == ('{"name": "a", "at": {"x": 1}}', {"name": "a", "at": {"x": 1}})


async def test_lists_and_objects_are_shown_as_json_and_the_rest_as_python_writes_it(executor: SandboxExecutor) -> None:
    source = "def probe():\n    return [True, None, {'a': 'ä'}]"
    assert text(await run(executor, source)) == '[true, null, {"a": "ä"}]'
    for value in (True, None, 5.0, "it's"):
        outcome = await run(executor, f"def probe():\n    return {value!r}")
        assert (text(outcome), outcome.value) == (str(value), value)


async def test_secrets_and_the_agents_id_are_in_the_environment(executor: SandboxExecutor) -> None:
    source = "import os\ndef probe():\n    return [os.getenv('TOKEN'), os.getenv('LETTA_AGENT_ID')]"
    outcome = await run(executor, source, environment={"TOKEN": "t"}, agent_id="agent-7")
    assert outcome.value == ["t", "agent-7"]


async def test_a_traceback_shows_the_users_frames_alone(executor: SandboxExecutor) -> None:
    outcome = await run(executor, "import json\ndef probe():\n    return json.loads('{')")
    assert outcome.status == "error"
    assert "return json.loads" in text(outcome)
    assert "JSONDecodeError" in text(outcome)
    assert "runner.py" not in text(outcome)
    assert "decoder.py" not in text(outcome)


@pytest.mark.parametrize("value", ["float('nan')", "'a\\0b'", "'\\ud800'", "10**30", "{1: {2}}", "object"])
async def test_any_value_comes_back_storable(executor: SandboxExecutor, value: str) -> None:
    outcome = await run(executor, f"def probe():\n    return {value}")
    assert outcome.status == "success"
    stored = f"{outcome.value}{text(outcome)}"
    assert "\0" not in stored
    stored.encode()


async def test_what_a_tool_leaves_behind_is_gone(executor: SandboxExecutor) -> None:
    leave = """
import os, sys
def probe():
    open("/tmp/left", "w").write("x")
    open("/dev/shm/left", "w").write("x")
    if os.fork() == 0:
        os.setsid()
        while True: pass
    return "left"
"""
    look = "import os\ndef probe():\n    return [*os.listdir('/tmp'), *os.listdir('/dev/shm'), *os.listdir('/proc')]"
    assert text(await run(executor, leave)) == "left"
    found = (await run(executor, look)).value
    assert "left" not in found
    assert [name for name in found if name.isdigit()] == ["1"]
    await settled(executor)


async def test_nothing_of_the_server_is_seen(executor: SandboxExecutor, tmp_path: Path) -> None:
    database = tmp_path / "reverie.db"
    sqlite3.connect(database).close()
    database.chmod(0o666)
    tmp_path.chmod(0o777)  # noqa: ASYNC240 - before anything runs
    paths = [
        database,
        Path(__file__),
        Path("/etc/passwd"),
        Path("/etc/shadow"),
        Path("/root/.bashrc"),
        tmp_path,
        Path(os.getcwd()),
    ]
    source = f"""
import os
def probe():
    found = []
    for path in {[str(path) for path in paths]!r}:
        try:
            os.stat(path)
            found.append(path)
        except OSError:
            pass
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                data = open(f"/proc/{{pid}}/environ", "rb").read()
                if b"PYTEST_CURRENT_TEST" in data: found.append(pid)
            except OSError:
                pass
    return found
"""
    outcome = await run(executor, source)
    assert (outcome.status, outcome.value) == ("success", []), text(outcome)


async def test_the_kernel_and_the_server_cannot_be_touched(executor: SandboxExecutor) -> None:
    source = f"""
import ctypes, os, signal, socket
def probe():
    done = []
    def attempt(name, action):
        try:
            action()
            done.append(name)
        except OSError:
            pass
    attempt("core_pattern", lambda: open("/proc/sys/kernel/core_pattern", "w"))
    attempt("usr", lambda: open("/usr/planted", "w"))
    attempt("packages", lambda: open("/packages/planted", "w"))
    attempt("environments", lambda: open("/environments/planted", "w"))
    attempt("root", lambda: open("/planted", "w"))
    attempt("dev", lambda: open("/dev/planted", "w"))
    attempt("kill", lambda: os.kill({os.getpid()}, 0))
    attempt("setuid", lambda: os.setuid(0))
    attempt("chroot", lambda: os.chroot("/tmp"))
    attempt("connect", lambda: socket.create_connection(("127.0.0.1", 22), timeout=2))
    attempt("internet", lambda: socket.create_connection(("1.1.1.1", 53), timeout=2))
    libc = ctypes.CDLL(None, use_errno=True)
    def call(function, *arguments):
        if function(*arguments) != 0: raise OSError(ctypes.get_errno(), "refused")
    attempt("user namespace", lambda: call(libc.unshare, 0x10000000))
    attempt("mount", lambda: call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None))
    attempt("ptrace", lambda: call(libc.ptrace, 16, {os.getpid()}, None, None))
    return [os.getuid() == 0, done]
"""
    outcome = await run(executor, source)
    assert outcome.value == [False, []], text(outcome)


@pytest.mark.skipif(os.geteuid() != 0, reason="about servers that run as root")
async def test_a_tool_of_a_root_server_is_another_user_to_the_kernel(executor: SandboxExecutor) -> None:
    task = asyncio.create_task(run(executor, "def probe():\n    print('up')\n    while True: pass", timeout_s=15))
    while not (spinning := [p for p in children() if "zygote.pyc" in command_of(p) and p.cpu_times().user > 0.2]):
        await asyncio.to_thread(psutil.cpu_percent, 0.05)
    assert {process.uids().real for process in spinning} == {65534}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await asyncio.to_thread(psutil.wait_procs, spinning, 5))[1] == []


async def test_a_fork_bomb_is_stopped(executor: SandboxExecutor) -> None:
    source = """
import os, time
def probe():
    count = 0
    try:
        while count < 500:
            if os.fork() == 0:
                time.sleep(60)
            count += 1
    except OSError:
        return count
    return count
"""
    outcome = await run(executor, source)
    assert outcome.status == "success"
    assert outcome.value < 64
    await settled(executor)


async def test_memory_bombs_are_stopped(executor: SandboxExecutor) -> None:
    alone = await run(executor, "def probe():\n    return len(bytearray(10**9))")
    assert "MemoryError" in text(alone)
    together = """
import os, time
def probe():
    for _ in range(8):
        if os.fork() == 0: break
    kept = bytearray(b"x") * (100 * 2**20)
    time.sleep(30)
"""
    assert "MiB of memory" in text(await run(executor, together))
    shared = (
        "import mmap, time\ndef probe():\n    m = mmap.mmap(-1, 600 * 2**20)\n    m.write(b'x' * 2**20 * 100)\n"
        + ("    while m.tell() < 600 * 2**20: m.write(b'x' * 2**20)\n    time.sleep(30)")
    )
    assert "MiB of memory" in text(await run(executor, shared))
    disk = "def probe():\n    for n in range(9):\n        open(f'/tmp/{n}', 'wb').write(b'x' * 2**24)"
    assert "No space left" in text(await run(executor, disk))


async def test_a_flood_of_output_is_stopped(executor: SandboxExecutor) -> None:
    outcome = await run(executor, "def probe():\n    while True: print('x' * 10000)")
    assert "more than 1048576 bytes" in text(outcome)
    assert len(outcome.stdout[0]) <= 2000
    big = await run(executor, "def probe():\n    return 'x' * 2**21")
    assert "more than 1048576 bytes" in text(big)


async def test_endless_loops_are_stopped(executor: SandboxExecutor) -> None:
    outcome = await run(executor, "def probe():\n    print('began')\n    while True: pass", timeout_s=0.5)
    assert "longer than 0.5 s" in text(outcome)
    assert outcome.stdout == ("began\n",)
    own = {"metadata": {"timeout_s": 0.3}}
    outcome = await run(executor, "def probe():\n    while True: pass", fields=own, timeout_s=9)
    assert "longer than 0.3 s" in text(outcome)
    sly = "import os, sys\ndef probe():\n    os.closerange(0, 100)\n    while True: pass"
    assert "longer than 0.5 s" in text(await run(executor, sly, timeout_s=0.5))
    await settled(executor)


async def test_a_process_that_ends_early_is_told(executor: SandboxExecutor) -> None:
    assert "ended with code 3" in text(await run(executor, "import os\ndef probe():\n    os._exit(3)"))
    assert "SystemExit" in text(await run(executor, "def probe():\n    raise SystemExit(1)"))
    assert "SIGSEGV" in text(await run(executor, "import ctypes\ndef probe():\n    ctypes.string_at(0)"))


async def test_cancelling_kills_the_sandbox(executor: SandboxExecutor) -> None:
    await executor.report()
    task = asyncio.create_task(run(executor, "import time\ndef probe():\n    time.sleep(60)"))
    while not [p for p in children() if "zygote.pyc" in command_of(p)]:
        await asyncio.to_thread(psutil.cpu_percent, 0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settled(executor)


def put_wheel(folder: Path, name: str, files: dict[str, str]) -> dict[str, str]:
    """Put a wheel into `folder`, and return an environment in which installers find it there and nowhere else."""
    folder.mkdir(exist_ok=True)
    facts = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
        wheel.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{facts}/RECORD", "".join(f"{path},,\n" for path in files))
    environment = dict(os.environ) | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    return environment | {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(folder)}


async def test_a_small_package_of_very_much_is_refused(tmp_path: Path) -> None:
    bomb = {f"bomb/part{number}.py": "#" + "x" * 2**24 for number in range(8)}
    environment = put_wheel(tmp_path / "wheels", "bomb", bomb)
    options = SandboxOptions(data_dir=str(tmp_path), environment_bytes=32 * 2**20)
    executor = SandboxExecutor(options, environment=environment)
    fields = {"pip_requirements": (PipRequirement(name="bomb"),)}
    outcome = await run(executor, "def probe():\n    return 1", fields=fields)
    assert "more than 32 MiB" in text(outcome)
    assert not list(tmp_path.rglob("part0.py"))  # noqa: ASYNC240 - nothing runs any more
    await executor.aclose()


async def test_requirements_are_installed_from_wheels_once(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    environment = put_wheel(wheels, "greeter", {"greeter.py": "WORD = 'hello'\n"})
    executor = SandboxExecutor(SandboxOptions(data_dir=str(tmp_path)), environment=environment)
    source = "import greeter\ndef probe():\n    return greeter.WORD"
    fields = {"pip_requirements": (PipRequirement(name="greeter", version="1.0"),)}
    assert text(await run(executor, source, fields=fields)) == "hello"
    shutil.rmtree(wheels)
    assert text(await run(executor, source, fields=fields)) == "hello"
    absent = {"pip_requirements": (PipRequirement(name="nowhere-to-be-had"),)}
    outcome = await run(executor, source, fields=absent)
    assert outcome.status == "error"
    assert "nowhere-to-be-had" in text(outcome)
    sly = {"pip_requirements": (PipRequirement(name="--index-url=http://evil"),)}
    assert "not a package name" in text(await run(executor, source, fields=sly))
    await executor.aclose()


async def test_other_languages_are_refused_with_a_reason(executor: SandboxExecutor) -> None:
    outcome = await run(executor, "puts 1", fields={"source_type": "ruby"})
    assert outcome.status == "error"
    assert "ruby" in text(outcome)


async def test_without_bubblewrap_tools_are_refused_unless_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = "def probe(a: int):\n    return a"
    refusing = SandboxExecutor(SandboxOptions(data_dir=str(tmp_path)))
    outcome = await run(refusing, source, {"a": 1})
    assert outcome.status == "error"
    assert "apt install bubblewrap" in text(outcome)
    await refusing.aclose()
    allowing = SandboxExecutor(SandboxOptions(data_dir=str(tmp_path), unsafe_subprocess=True))
    assert (await run(allowing, source, {"a": 1})).value == 1
    assert not (await allowing.report()).works
    await allowing.aclose()


def children() -> list[psutil.Process]:
    """What this process started; a server that other tests share is left alone."""
    found = []
    for own in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it just ended
            if not {"reverie.cli.main", "tests.support.nursery"} & {*own.cmdline()}:
                found += [own, *own.children(recursive=True)]
    return [p for p in found if _lives(p)]


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def command_of(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


async def settled(executor: SandboxExecutor) -> None:
    """Nothing is left but what waits for the next call, and that goes too."""
    await executor.aclose()
    left = await asyncio.to_thread(psutil.wait_procs, children(), 5)
    assert left[1] == []
