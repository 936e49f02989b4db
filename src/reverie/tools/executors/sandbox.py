"""Custom tools, Python and TypeScript, each call in a sandbox of its own."""

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject
from reverie.domain.tool import Tool
from reverie.tools import source_schema
from reverie.tools.base import AGENT_ID, NETWORK_TAG, KeysOfCalls, SandboxOptions, SandboxReport, ToolOutcome, ToolRun
from reverie.tools.executors import environments, launch, libraries
from reverie.tools.executors.door import API, PROXY, Door
from reverie.tools.executors.environments import Installed
from reverie.tools.executors.launch import Launch
from reverie.tools.executors.lives import HAS_HANDLES
from reverie.tools.executors.worker import Worker
from reverie.tools.executors.zygote import Nursery, SandboxRefused

_CLOSE_S: Final = 5.0
"""Longest wait for what is just being started when the executor is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    launch: Launch
    environments: environments.Environments


class SandboxExecutor:
    """Runs tools in bubblewrap; implements `ToolExecutor`.

    Each call has a process and namespaces of its own that are gone when the call ends. It is forked
    from a zygote, so no call waits for an interpreter to start. Belongs to one event loop.
    """

    def __init__(
        self,
        options: SandboxOptions,
        *,
        environment: Mapping[str, str] | None = None,
        door: Door | None = None,
        keys: KeysOfCalls | None = None,
    ) -> None:
        """Make one for a server.

        `environment` is the server's own; the installer of requirements gets the harmless part of it.
        Through `door`, which must be open before the first call, tools reach the API with a key from `keys`.
        """
        self._options = options
        self._door = door
        self._keys = keys
        self._installer_environment = environments.installer_environment(environment or {"PATH": os.defpath})
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._ready: _Ready | None = None
        self._report: SandboxReport | None = None
        self._preparing = asyncio.Lock()
        self._plain = Nursery()
        self._with_packages = Nursery()
        self._starting: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Begin to start the zygote that most calls need, and return at once."""
        if self._starting is None and not self._closed:
            self._starting = asyncio.create_task(self._start_ahead(), name="sandbox-start")

    async def run(self, call: ToolRun) -> ToolOutcome:
        """Execute one call; see `ToolExecutor.run`."""
        refused = self._refusal(call)
        if refused is not None:
            return ToolOutcome.error(refused)
        ready = await self._prepare()
        if ready is None:
            detail = self._report.detail if self._report else ""
            return ToolOutcome.error(f"custom tools cannot run on this server: {detail}")
        try:
            installed = await ready.environments.ensure(call.tool)
        except ToolError as error:
            return ToolOutcome.error(str(error))
        try:
            worker = await self._worker(ready.launch, call, installed)
        except OSError as error:
            return ToolOutcome.error(f"the sandbox could not be started: {error}")
        with self._issued(call) as key:
            outcome = await worker.call(
                self._request(call, ready.launch, installed, key),
                timeout_s=self._timeout_s(call),
                output_bytes=self._options.output_bytes,
                memory_bytes=self._options.memory_bytes,
            )
        return outcome.discreet(call.environment)

    async def report(self) -> SandboxReport:
        """Whether the sandbox works here; found out by starting one."""
        await self._prepare()
        return self._report or SandboxReport(works=False, detail="the sandbox was closed")

    async def enclosed(self, shown: Mapping[str, str]) -> Sequence[str] | None:
        """The command line of Python in a sandbox like those of tools; see `documents.base.Enclosure`."""
        ready = await self._prepare()
        if ready is None or not ready.launch.sandboxed:
            return None
        return launch.enclosed(self._options, shown)

    async def aclose(self) -> None:
        """End the zygotes, and what they still run.

        Nothing here waits without a bound: what cannot be ended now ends with this process.
        """
        self._closed = True
        if self._starting is not None:
            _, late = await asyncio.wait({self._starting}, timeout=_CLOSE_S)
            for task in late:
                task.cancel()
        for nursery in (self._plain, self._with_packages):
            await nursery.aclose()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _refusal(self, call: ToolRun) -> str | None:
        tool = call.tool
        if tool.source_type not in ("python", "typescript"):
            return f"tool {tool.name!r} is written in {tool.source_type}; tools are written in python or typescript"
        if tool.source_type == "typescript" and launch.deno_program() is None:
            return f"tool {tool.name!r} is written in TypeScript and Deno is not installed here; run `pip install deno`"
        if not tool.source_code:
            return f"tool {tool.name!r} has no source code"
        return None

    def _timeout_s(self, call: ToolRun) -> float:
        most = call.timeout_s or self._options.timeout_s
        return min(most, call.tool.timeout_s or most)

    def _issued(self, call: ToolRun) -> AbstractContextManager[str | None]:
        if self._keys is None:
            return nullcontext(None)
        return self._keys.issued(call, network=self._goes_out(call))

    def _goes_out(self, call: ToolRun) -> bool:
        match self._options.network:
            case "none":
                return False
            case "all":
                return True
            case "tagged":
                return NETWORK_TAG in call.tool.tags

    def _request(self, call: ToolRun, worker: Launch, installed: Installed, key: str | None) -> JsonObject:
        options, tool = self._options, call.tool
        environment = dict(call.environment)
        if call.agent_id is not None:
            environment[AGENT_ID] = call.agent_id
        environment_folder = f"{worker.environments}/{installed.folder}" if installed.folder else None
        is_python = tool.source_type == "python"
        limits = {
            "DATA": options.memory_bytes,
            "AS": options.memory_bytes * 8,
            "FSIZE": options.scratch_bytes,
            "CPU": int(self._timeout_s(call)) + 2,
            "NOFILE": 1024,
            "CORE": 0,
        }
        if worker.sandboxed:  # outside, it would count all the user's processes
            limits["NPROC"] = options.processes
        return {
            "name": tool.name,
            "function": source_schema.entry_function(tool.source_code or "", tool.name) if is_python else tool.name,
            "source": tool.source_code,
            "models": (tool.args_json_schema or {}).get("$defs") or {},
            "arguments": call.arguments,
            "agent_state": call.agent_state,
            "environment": environment,
            "packages": [*([environment_folder] if environment_folder and is_python else []), worker.packages],
            "limits": limits,
            "api": {"socket": f"{worker.door}/{API}", "key": key} if worker.door and key else None,
            "proxy": {"socket": f"{worker.door}/{PROXY}", "key": key} if worker.door and self._goes_out(call) else None,
            "deno": None if is_python else _deno(tool, worker, environment_folder, installed.client),
        }

    async def _prepare(self) -> _Ready | None:
        """What workers need, made once; None, with `_report` saying why, where there can be none."""
        if self._ready is not None:
            return self._ready
        async with self._preparing:
            if self._ready is None and not self._closed:
                try:
                    self._ready = await self._set_up()
                except OSError as error:
                    self._report = SandboxReport(works=False, detail=f"the sandbox's folder cannot be made: {error}")
        return self._ready

    async def _set_up(self) -> _Ready | None:
        folder = await asyncio.to_thread(self._folder)
        packages = await asyncio.to_thread(environments.prepare_base, folder)
        door = None if self._door is None else self._door.folder
        installed = environments.Environments(
            folder / "environments", self._installer_environment, self._options.environment_bytes
        )
        missing = launch.missing_program()
        if missing is None:
            complaint = ""
            for cells in (True, False) if HAS_HANDLES else (False,):
                candidate = launch.sandboxed(
                    self._options, cells=cells, packages=packages, environments=installed.folder, door=door
                )
                try:
                    await self._plain.zygote(candidate)
                except SandboxRefused as refused:
                    complaint = str(refused)
                    continue
                detail = await asyncio.to_thread(launch.bwrap_version)
                self._report = SandboxReport(works=True, detail=detail if cells else f"{detail}; {launch.SLOW}")
                return _Ready(launch=candidate, environments=installed)
            missing = SandboxReport(works=False, detail=launch.diagnose(complaint))
        self._report = missing
        if not self._options.unsafe_subprocess:
            return None
        return _Ready(launch=launch.unsafe(self._options, packages, installed.folder, door), environments=installed)

    def _folder(self) -> Path:
        if not self._options.data_dir and self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="reverie-sandbox-")
        top = Path(self._scratch.name) if self._scratch else Path(self._options.data_dir).resolve() / "sandbox"
        (top / "environments").mkdir(parents=True, exist_ok=True)
        (top / "environments").chmod(0o755)
        return top

    async def _start_ahead(self) -> None:
        ready = await self._prepare()
        if ready is not None and not self._closed:
            with suppress(OSError):  # the first call tries again, and says so
                await self._plain.zygote(ready.launch)

    async def _worker(self, candidate: Launch, call: ToolRun, installed: Installed) -> Worker:
        """A process for the call, forked where what it needs is read already."""
        if call.tool.source_type != "python":
            return await self._plain.worker(candidate, ())
        modules = libraries.standard(call)
        if not installed.folder:  # where it brings packages of its own, those go first
            shared = libraries.installed(call, has_client=self._keys is not None and candidate.door is not None)
            if shared:
                return await self._with_packages.worker(candidate, [*modules, *shared])
        return await self._plain.worker(candidate, modules)


def _deno(tool: Tool, worker: Launch, npm: str | None, client: JsonObject | None) -> JsonObject:
    return {
        "program": worker.deno,
        "runner": f"{worker.packages}/{launch.INSIDE}/runner.ts",
        "npm": npm,
        "client": client,
        "parameters": list(tool.spec.parameters.get("properties") or ()),
    }
