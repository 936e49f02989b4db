"""Patterns: what they find, what is refused, and how long they take."""

import time

import pytest

from reverie.domain.errors import ToolError
from reverie.tools.builtin.grep import compile_name_pattern, compile_pattern

LATER = time.monotonic() + 1e6


def lines(pattern: str, text: str) -> list[int]:
    return list(compile_pattern(pattern).lines(text, LATER))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("alpha", [1, 3]),
        ("^alpha$", [1]),
        (r"\Aalpha", [1, 3]),
        ("beta|gamma", [2]),
        (r"\d{2,}", [3]),
        ("ÄRGER", [4]),
        ("nothing", []),
        ("a.*\n.*b", []),
        ("^$", [5]),
    ],
)
def test_lines_that_match_are_found_without_regard_to_case(pattern: str, found: list[int]) -> None:
    assert lines(pattern, "Alpha\nbeta\nalpha 42\närger\n") == found


def test_lines_keep_their_numbers_across_slices() -> None:
    text = "\n".join("x" * 100 + (" needle" if number in (1, 700, 5000) else "") for number in range(1, 5001))
    assert lines("needle", text) == [1, 700, 5000]
    assert lines("", "a\nb\n") == [1, 2, 3]


@pytest.mark.parametrize("pattern", ["(?=a)", r"(a)\1", "[", "*", "(?<!x)y", "a" * 1001])
def test_what_cannot_be_searched_in_linear_time_is_refused_with_the_reason(pattern: str) -> None:
    with pytest.raises(ToolError, match="pattern"):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)*b", "(.*)*x$", "(a*)*(a*)*(a*)*c"])
def test_a_pattern_that_runs_away_elsewhere_takes_no_time_here(pattern: str) -> None:
    began = time.process_time()
    lines(pattern, ("a" * 5000 + "!\n") * 20)
    assert time.process_time() - began < 2.0


def test_a_search_ends_at_its_deadline() -> None:
    with pytest.raises(TimeoutError):
        list(compile_pattern("a").lines("a\n" * 100, time.monotonic() - 1))


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*.md", "docs/a.md", True),
        ("*.md", "docs/a.mdx", False),
        ("docs/*", "docs/a.md", True),
        ("a?.md", "docs/ab.md", True),
        (r"\.md$", "docs/a.md", True),
        (".*notes.*", "docs/my notes.md", True),
        ("NOTES", "docs/my notes.md", True),
        ("a.md", "docs/b.md", False),
    ],
)
def test_names_are_matched_by_globs_and_patterns(pattern: str, name: str, fits: bool) -> None:
    assert compile_name_pattern(pattern).fits(name) == fits
