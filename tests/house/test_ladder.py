"""What the import-linter contract in pyproject.toml says, and what it cannot say."""

import sys
from pathlib import Path

import grimp
import pytest
from importlinter import cli

GRAPH = grimp.build_graph("reverie", include_external_packages=True, cache_dir=None)
MODULES = sorted(name for name in GRAPH.modules if name.split(".")[0] == "reverie")
OUTWARD = ("reverie.models.adapters", "reverie.models.embedders", "reverie.tools.executors")
"""Behind the contracts of `models.base` and `tools.base`; pure modules beside them are open to every higher floor."""


def imports_of(module: str) -> list[str]:
    return sorted(GRAPH.find_modules_directly_imported_by(module))


def room_of(module: str) -> str:
    return ".".join(module.split(".")[1:2])


def test_no_room_imports_a_higher_floor_or_a_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    assert cli.lint_imports(config_filename=str(root / "pyproject.toml"), no_cache=True) == cli.EXIT_STATUS_SUCCESS


def test_domain_needs_nothing_but_the_standard_library() -> None:
    outside = {
        (module, imported)
        for module in MODULES
        if room_of(module) == "domain"
        for imported in imports_of(module)
        if not imported.startswith("reverie.domain") and imported.split(".")[0] not in sys.stdlib_module_names
    }
    assert outside == set()


def test_only_the_wiring_and_the_command_line_name_what_talks_to_the_outside() -> None:
    wrong = {
        (module, imported)
        for module in MODULES
        for imported in imports_of(module)
        if imported.startswith(OUTWARD)
        if room_of(module) not in ("wiring", "cli", room_of(imported))
    }
    assert wrong == set()


def test_only_the_command_line_and_the_wiring_hold_the_settings() -> None:
    readers = {room_of(module) for module in MODULES if "reverie.config" in imports_of(module)}
    assert readers <= {"cli", "wiring"}


def test_every_room_says_what_must_hold_in_at_most_thirty_lines() -> None:
    source = Path(__file__).parents[2] / "src" / "reverie"
    rooms = sorted(path.parent for path in source.glob("*/__init__.py"))
    missing = [room.name for room in rooms if not (room / "README.md").is_file()]
    assert missing == []
    long = [room.name for room in rooms if len((room / "README.md").read_text().splitlines()) > 30]
    assert long == []
