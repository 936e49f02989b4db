"""Images by URL have their bytes in place before anything is stored."""

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from reverie.api.context import ApiOptions
from reverie.api.images import with_images
from reverie.domain.content import ImagePart, TextPart, ToolReturn
from reverie.domain.errors import InvalidInput
from reverie.domain.inputs import ApprovalInput, Request, SayInput
from reverie.web.addresses import WebOptions

OPEN = ApiOptions(web=WebOptions(allow_private=True))
PIXEL = b"\x89PNG pixel"


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/moved/again" if "again" in self.path else "/pixel.png")
            self.end_headers()
            return
        self.send_response(404 if self.path == "/missing" else 200)
        kinds = {"/page": "text/html", "/stored": "application/octet-stream"}
        self.send_header("Content-Type", kinds.get(self.path, "image/png; q=1"))
        self.end_headers()
        self.wfile.write(b"<html>" if self.path == "/page" else PIXEL)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def asking(url: str) -> Request:
    return Request(inputs=(SayInput(role="user", parts=(ImagePart(media_type="", data="", url=url),)),))


@pytest.mark.parametrize("path", ["/pixel.png", "/moved", "/stored"])
async def test_an_image_is_fetched_also_from_where_it_moved(site: str, path: str) -> None:
    found = await with_images(asking(site + path), OPEN)
    image = ImagePart(media_type="image/png", data=base64.b64encode(PIXEL).decode(), url=site + path)
    assert found.inputs == (SayInput(role="user", parts=(image,)),)


async def test_an_image_in_a_client_side_result_is_fetched_too(site: str) -> None:
    part = ImagePart(media_type="", data="", url=site + "/pixel.png")
    given = ToolReturn(tool_call_id="1", name="", status="success", content=(part,))
    found = await with_images(Request(inputs=(ApprovalInput(returns=(given,)),)), OPEN)
    (answer,) = found.inputs
    assert isinstance(answer, ApprovalInput)
    assert isinstance(answer.returns[0].content[0], ImagePart)
    assert answer.returns[0].content[0].data


async def test_a_request_without_urls_stays_as_it_is() -> None:
    request = Request(inputs=(SayInput(role="user", parts=(TextPart(text="hi"),)),))
    assert await with_images(request, OPEN) is request


@pytest.mark.parametrize("path", ["/missing", "/page", "/moved/again"])
async def test_what_cannot_be_fetched_is_named(site: str, path: str) -> None:
    with pytest.raises(InvalidInput, match=path):
        await with_images(asking(site + path), OPEN)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.example/x", "http://"])
async def test_only_web_addresses_are_fetched(url: str) -> None:
    with pytest.raises(InvalidInput, match="only http"):
        await with_images(asking(url), OPEN)


async def test_the_servers_own_network_is_out_of_reach_where_that_is_set(site: str) -> None:
    with pytest.raises(InvalidInput, match="private network"):
        await with_images(asking(site + "/pixel.png"), ApiOptions())


async def test_a_huge_image_is_refused(site: str) -> None:
    with pytest.raises(InvalidInput, match="larger than 4 bytes"):
        await with_images(asking(site + "/pixel.png"), ApiOptions(web=WebOptions(allow_private=True, max_bytes=4)))
