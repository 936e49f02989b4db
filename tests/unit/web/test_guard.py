"""No URL that a user names leads where nobody outside should be led."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from threading import Thread

import pytest

from reverie.domain.errors import AddressRefused, BadGateway, TimedOut
from reverie.web.addresses import WebOptions, check_address
from reverie.web.fetch import fetch
from reverie.web.transport import guarded_client

PUBLIC = "93.184.216.34"


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        where, _, target = self.path.partition("?to=")
        if where == "/moved":
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = b"x" * 1000 if where == "/large" else self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body) + (where == "/endless")))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if where == "/endless":
            self.rfile.read()  # the last byte never comes; the client hangs up

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def names(*addresses: str, then: str | None = None) -> tuple[list[str], "object"]:
    """A resolver of our own; `then` is what it says from the second question on."""
    asked: list[str] = []

    async def lookup(host: str, _port: int) -> list[str]:
        asked.append(host)
        return [then] if then is not None and len(asked) > 1 else list(addresses)

    return asked, lookup


HERE_ONLY = WebOptions(networks=(ip_network("127.0.0.1"),))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "127.0.0.1.",
        "１２７.0.0.1",
        "user@127.0.0.1",
    ],
)
async def test_no_spelling_of_this_machine_is_opened(site: int, host: str) -> None:
    with pytest.raises((AddressRefused, BadGateway)) as refused:
        await fetch(f"http://{host}:{site}/", WebOptions())
    if host[0] != "１" and host != "127.0.0.1.":  # some resolvers know neither
        assert refused.type is AddressRefused


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "fd12::1", "fec0::1", "::ffff:10.0.0.1"),
        *("0.0.0.0", "240.0.0.1", "198.18.0.1", "255.255.255.255"),
        *("169.254.169.254", "169.254.1.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200"),
        *("224.0.0.1", "ff02::1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"),
    ],
)
def test_only_public_addresses_may_be_reached(address: str) -> None:
    with pytest.raises(AddressRefused):
        check_address(address, WebOptions())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "fec0::1"])
def test_a_setting_opens_this_machine_and_private_networks(address: str) -> None:
    check_address(address, WebOptions(allow_private=True))


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "224.0.0.1", "fd00:ec2::254", "100.100.100.200", "::ffff:169.254.169.254"],
)
def test_metadata_link_local_and_multicast_stay_closed_even_then(address: str) -> None:
    with pytest.raises(AddressRefused):
        check_address(address, WebOptions(allow_private=True))
    check_address(address, WebOptions(networks=(ip_network("::/0"), ip_network("0.0.0.0/0"))))


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1111", "64:ff9b::5db8:d822"])
def test_public_addresses_are_open(address: str) -> None:
    check_address(address, WebOptions())


def test_a_named_network_opens_itself_and_nothing_else() -> None:
    options = WebOptions(networks=(ip_network("10.1.0.0/16"),))
    check_address("10.1.2.3", options)
    with pytest.raises(AddressRefused):
        check_address("10.2.0.1", options)


async def test_a_name_that_resolves_into_a_private_network_is_refused(site: int) -> None:
    _, lookup = names("10.0.0.7")
    with pytest.raises(AddressRefused, match=r"inside\.example.*private network"):
        await fetch(f"http://inside.example:{site}/", WebOptions(), lookup=lookup)  # type: ignore[arg-type]


async def test_one_private_address_among_public_ones_spoils_the_name(site: int) -> None:
    _, lookup = names(PUBLIC, "10.0.0.7")
    with pytest.raises(AddressRefused):
        await fetch(f"http://mixed.example:{site}/", WebOptions(), lookup=lookup)  # type: ignore[arg-type]


async def test_a_name_is_resolved_once_so_that_a_second_answer_changes_nothing(site: int) -> None:
    asked, lookup = names("127.0.0.1", then="10.0.0.7")
    found = await fetch(f"http://twice.example:{site}/", HERE_ONLY, lookup=lookup)  # type: ignore[arg-type]
    assert found.body == f"twice.example:{site}".encode()  # the checked address, asked for by name
    assert asked == ["twice.example"]


@pytest.mark.parametrize("target", ["http://127.0.0.2:{}/", "http://localhost2.example:{}/", "http://[::1]:{}/"])
async def test_a_redirect_is_judged_like_the_first_address(site: int, target: str) -> None:
    async def lookup(host: str, _port: int) -> list[str]:
        return ["127.0.0.2"] if host == "localhost2.example" else [host]

    with pytest.raises(AddressRefused):
        await fetch(f"http://127.0.0.1:{site}/moved?to={target.format(site)}", HERE_ONLY, lookup=lookup)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/"])
async def test_a_redirect_to_another_scheme_is_refused(site: int, target: str) -> None:
    with pytest.raises((AddressRefused, BadGateway)):
        await fetch(f"http://127.0.0.1:{site}/moved?to={target}", HERE_ONLY)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/", "http://", "//example.org", "unix:/x"])
async def test_only_web_addresses_are_opened(url: str) -> None:
    with pytest.raises(AddressRefused, match="only http and https"):
        await fetch(url, WebOptions(allow_private=True))


async def test_a_clients_every_connection_is_checked(site: int) -> None:
    async with guarded_client(WebOptions(), follow_redirects=True) as client:
        with pytest.raises(AddressRefused):
            await client.get(f"http://127.0.0.1:{site}/")
    async with guarded_client(HERE_ONLY, follow_redirects=True) as client:
        assert (await client.get(f"http://127.0.0.1:{site}/")).status_code == 200
        with pytest.raises(AddressRefused):
            await client.get(f"http://127.0.0.1:{site}/moved?to=http://127.0.0.2:{site}/")


async def test_no_proxy_of_the_environment_is_asked(site: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await fetch(f"http://127.0.0.1:{site}/", HERE_ONLY)).status == 200


async def test_what_is_too_large_or_too_slow_or_runs_in_circles_is_left(site: int) -> None:
    here = ip_network("127.0.0.1")
    with pytest.raises(BadGateway, match="larger than 999 bytes"):
        await fetch(f"http://127.0.0.1:{site}/large", WebOptions(networks=(here,), max_bytes=999))
    with pytest.raises(TimedOut):
        await fetch(f"http://127.0.0.1:{site}/endless", WebOptions(networks=(here,), timeout_s=0.2))
    with pytest.raises(BadGateway, match="too many redirects"):
        await fetch(
            f"http://127.0.0.1:{site}/moved?to=/moved?to=/moved?to=/", WebOptions(networks=(here,), max_redirects=1)
        )


async def test_a_name_nobody_knows_is_said_to_be_unknown() -> None:
    with pytest.raises(BadGateway, match="nowhere"):
        await fetch("http://nowhere.invalid/", WebOptions())
