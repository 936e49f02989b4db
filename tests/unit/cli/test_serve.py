import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from reverie.cli.serve import CannotStart, bind, prepare_data_dir

TINY = Path(__file__).with_name("tiny_server.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(data_dir: Path, port: int, *, limit: str = "20", mode: str = "quick", host: str = "127.0.0.1") -> list[str]:
    return [sys.executable, str(TINY), str(data_dir), str(port), limit, mode, host]


@contextmanager
def running(arguments: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the line it printed when it was ready."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_one_line_says_where_the_server_is_and_what_it_needs(tmp_path: Path) -> None:
    port = free_port()
    with running(command(tmp_path, port)) as (_, line):
        assert f"http://127.0.0.1:{port}" in line
        assert f"database {tmp_path}/reverie.db" in line
        assert "no key needed" in line
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "hello"


def test_a_key_made_at_this_start_is_printed(tmp_path: Path) -> None:
    with running(command(tmp_path, free_port(), host="0.0.0.0")) as (process, line):
        assert "key required" in line
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert "sk-rev-shown-once" in process.stdout.read()


def test_sigterm_lets_open_streams_end_and_closes_in_order(tmp_path: Path) -> None:
    port = free_port()
    with (
        running(command(tmp_path, port)) as (process, _),
        httpx.stream("GET", f"http://127.0.0.1:{port}/stream") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines) == "begun"
        process.send_signal(signal.SIGTERM)
        assert list(lines) == ["ended in order"]
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "closed\n")


def test_a_drain_that_hangs_is_given_up_after_its_time(tmp_path: Path) -> None:
    with running(command(tmp_path, free_port(), limit="0.2", mode="stuck")) as (process, _):
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "closed\n")
    assert "next start" in err


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    port = free_port()
    with (
        running(command(tmp_path, port, limit="600", mode="stuck")) as (process, _),
        httpx.stream("GET", f"http://127.0.0.1:{port}/stream") as stream,
    ):
        assert next(stream.iter_lines()) == "begun"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize(
    ("mode", "words"), [("broken", ["ask it nicely"]), ("unreachable", ["Connection refused", "--database-url"])]
)
def test_what_keeps_it_from_starting_is_said_in_few_lines(tmp_path: Path, mode: str, words: list[str]) -> None:
    done = subprocess.run(command(tmp_path, free_port(), mode=mode), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words), done.stderr
    assert len(done.stderr.splitlines()) <= 10
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"port {port} .* taken .*--port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a" * 300])
def test_a_host_that_is_not_here_is_named(host: str) -> None:
    with pytest.raises(CannotStart, match="--host"):
        bind(host, free_port())


def test_the_data_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    prepare_data_dir(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_data_directory_that_cannot_be_made_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match="--data-dir"):
        prepare_data_dir(tmp_path / "file" / "b")
