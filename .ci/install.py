"""Install packages with uv, or with pip where uv cannot be had or does not get through.

Usage: install.py TITLE ARGUMENT...; the arguments are those of `pip install`, which uv knows too. One line of progress
instead of hundreds. Without `--compile` byte code is left to the first import: most of what comes is never imported.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec

STEPS = re.compile(
    r"^\s*(Collecting|Downloading|Using cached|Installing|Building|Preparing|Resolved|Prepared)\b\s*(\S*)"
)
PIP = [sys.executable, "-m", "pip"]
QUIET = ["--no-input", "--disable-pip-version-check"]
SAME_IN_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}
"""Settings of pip, which uv does not read, and the variables that tell uv the same."""


def main(title: str, arguments: list[str]) -> int:
    """Return 0, or pip's exit code; its last lines are shown when it fails."""
    started = time.monotonic()
    live = sys.stdout.isatty()
    print(f"{title} …", end="" if live else "\n", flush=True)
    code, lines = _with_uv(title, arguments)
    if code:
        code, lines = _run(title, [*PIP, "install", *QUIET, "--no-compile", *arguments], dict(os.environ))
    seconds = time.monotonic() - started
    if code:
        print(f"\n{title}: pip failed after {seconds:.0f} s\n", file=sys.stderr)
        sys.stderr.writelines(lines[-25:])
        return code
    show(f"{title}: done in {seconds:.0f} s") if live else None
    print("" if live else f"{title}: done in {seconds:.0f} s")
    return 0


def _with_uv(title: str, arguments: list[str]) -> tuple[int, list[str]]:
    if find_spec("uv") is None:
        code, lines = _run(title, [*PIP, "install", *QUIET, "--quiet", "uv"], dict(os.environ))
        if code:
            return code, lines
    return _run(
        title,
        [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *arguments],
        {**_as_for_pip(), **os.environ},
    )


def _as_for_pip() -> dict[str, str]:
    """Where pip would look, and whom it would trust, in uv's words."""
    told = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "true"}
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False).stdout
    # What stands in the environment comes before what stands in files.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        variable = SAME_IN_UV.get(name.rpartition(".")[2])
        if variable:
            told[variable] = " ".join(str(ast.literal_eval(value)).split())
    return told


def _run(title: str, command: list[str], environment: dict[str, str]) -> tuple[int, list[str]]:
    """Return the exit code and what it said."""
    lines: list[str] = []
    seen: set[str] = set()
    output = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if sys.stdout.isatty() and (step := STEPS.match(line)):
                seen.add(step[2])
                show(f"{title} … {len(seen)} packages · {step[1].lower()} {step[2]}")
    return process.returncode, lines


def show(text: str) -> None:
    """Replace the current line of the terminal."""
    width = shutil.get_terminal_size().columns - 1
    print(f"\r\x1b[2K{text[:width]}", end="", flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2:]))
