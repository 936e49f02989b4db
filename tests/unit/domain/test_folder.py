"""Names, ids and views of files."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reverie.domain.errors import InvalidInput
from reverie.domain.folder import clean_file_name, clean_file_path, file_limits, file_of_link, link_id, render_view
from reverie.domain.ids import make_id


def test_a_view_is_numbered_and_says_what_it_shows() -> None:
    text = "a\n\nc"
    assert render_view(text, None, None, 100) == "[Viewing file start (out of 3 lines)]\n1: a\n2: \n3: c"
    assert render_view("a\n", None, None, 100) == "[Viewing file start (out of 1 lines)]\n1: a"
    assert render_view(text, 1, None, 100) == "[Viewing lines 2 to 3 (out of 3 lines)]\n2: \n3: c"
    assert render_view(text, 0, 1, 100) == "[Viewing lines 1 to 1 (out of 3 lines)]\n1: a"
    assert render_view(text, 0, 99, 100) == render_view(text, 0, 3, 100)


def test_a_view_that_is_cut_says_where() -> None:
    text = "\n".join("x" * 20 for _ in range(50))
    shown = render_view(text, None, None, 400)
    assert len(shown) <= 400
    assert shown.endswith("12: " + "x" * 20 + "\n[Cut at 400 characters, in line 12; open a smaller range to see more]")
    one_line = render_view("y" * 5000, None, None, 400)
    assert one_line.count("y") > 250
    assert one_line.endswith("in line 1; open a smaller range to see more]")


@given(st.text(), st.integers(0, 300), st.none() | st.integers(0, 5), st.none() | st.integers(1, 9))
def test_a_view_never_exceeds_its_window(text: str, limit: int, start: int | None, end: int | None) -> None:
    assert len(render_view(text, start, end, limit)) <= limit


@given(st.text(min_size=1, max_size=300))
@example("\x1f/0")
def test_a_cleaned_name_is_only_a_name(given_name: str) -> None:
    try:
        name = clean_file_name(given_name)
    except InvalidInput:
        return
    assert not {"/", "\\", "\0"} & set(name)
    assert name.isprintable()
    assert name not in ("", ".", "..")
    assert len(name) <= 200
    path = clean_file_path(given_name)
    assert path.endswith(name)
    assert not {"", ".", ".."} & {*path.split("/")}


@pytest.mark.parametrize("bad", ["", "..", "a/..", "/", "\\", "\x07", " "])
def test_what_is_no_name_is_refused(bad: str) -> None:
    with pytest.raises(InvalidInput, match="give the file a name"):
        clean_file_name(bad)


def test_a_link_leads_back_to_its_file() -> None:
    agent_id, file_id = make_id("agent"), make_id("file")
    link = link_id(agent_id, file_id)
    assert link.startswith("file_agent-")
    assert file_of_link(agent_id, link) == file_id
    assert link_id(make_id("agent"), file_id) != link


def test_limits_grow_with_the_window_and_leave_room_in_it() -> None:
    windows = [None, 4096, 8_000, 32_000, 128_000, 200_000, 1_000_000]
    limits = [file_limits(window) for window in windows]
    assert limits[1:] == sorted(limits[1:])
    for window, (files, chars) in zip(windows[1:], limits[1:], strict=True):
        assert window is not None
        assert files * chars / 4 < window
