"""Look into every release of the client SDK from 1.7.1 on, and write which operations each one knows.

Usage: PYTHONPATH=. sdk_survey.py > .ci/sdk_operations.json
Needs the package registry. Run it when a release comes out.
"""

import ast
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.sdk import operations_of_class, place_of, route_key

OLDEST = (1, 7, 1)


def releases() -> list[str]:
    """All releases from `OLDEST` on, oldest first."""
    command = [sys.executable, "-m", "pip", "index", "versions", "letta-client"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = re.findall(r"^Available versions: (.*)$", told, re.MULTILINE)
    found = [tuple(int(part) for part in version.split(".")) for version in line.split(", ") if version[0] != "0"]
    return [".".join(map(str, version)) for version in sorted(found) if version >= OLDEST]


def operations_in(wheel: Path) -> Iterator[tuple[str, str, str]]:
    """Name, verb and path of every operation that the release knows."""
    with zipfile.ZipFile(wheel) as archive:
        for file in sorted(archive.namelist()):
            parts = Path(file).with_suffix("").parts
            if file.endswith(".py") and (parts[1:2] == ("resources",) or parts == ("letta_client", "_client")):
                place = place_of(parts[1:])
                for cls in ast.parse(archive.read(file)).body:
                    for method, verb, path, _ in operations_of_class(cls):
                        yield ".".join((*place, method)), *route_key(verb, path)


def main() -> None:
    """Write the survey."""
    since: dict[tuple[str, str, str], str] = {}
    last: dict[tuple[str, str, str], str] = {}
    versions = releases()
    with tempfile.TemporaryDirectory() as folder:
        for version in versions:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", f"{folder}/{version}"]
            subprocess.run([*command, f"letta-client=={version}"], check=True)
            (wheel,) = Path(folder, version).glob("*.whl")
            for operation in operations_in(wheel):
                since.setdefault(operation, version)
                last[operation] = version
    found = [
        {"name": name, "verb": verb, "path": path, "since": since[name, verb, path], "until": last[name, verb, path]}
        for name, verb, path in sorted(since)
    ]
    json.dump({"versions": versions, "operations": found}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
