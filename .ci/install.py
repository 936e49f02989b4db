"""Run `pip install` with one line of progress instead of hundreds.

Usage: install.py TITLE PIP-ARGUMENT...
"""

import re
import shutil
import subprocess
import sys
import time

STEPS = re.compile(r"^\s*(Collecting|Downloading|Using cached|Installing|Building|Preparing|Getting)\b\s*(\S*)")


def main(title: str, arguments: list[str]) -> int:
    """Return pip's exit code; its last lines are shown when it fails."""
    command = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments]
    live = sys.stdout.isatty()
    started = time.monotonic()
    print(f"{title} …", end="" if live else "\n", flush=True)
    lines: list[str] = []
    seen: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            lines.append(line)
            if live and (step := STEPS.match(line)):
                seen.add(step[2])
                show(f"{title} … {len(seen)} packages · {step[1].lower()} {step[2]}")
    seconds = time.monotonic() - started
    if pip.returncode:
        print(f"\n{title}: pip failed after {seconds:.0f} s\n", file=sys.stderr)
        sys.stderr.writelines(lines[-25:])
        return pip.returncode
    show(f"{title}: done in {seconds:.0f} s") if live else None
    print("" if live else f"{title}: done in {seconds:.0f} s")
    return 0


def show(text: str) -> None:
    """Replace the current line of the terminal."""
    width = shutil.get_terminal_size().columns - 1
    print(f"\r\x1b[2K{text[:width]}", end="", flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2:]))
