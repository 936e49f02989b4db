"""Documents of every kind, made by the libraries that people make them with."""

import io
import time
from collections.abc import Iterable
from typing import Any

import docx
import pptx
from fpdf import FPDF
from letta_client import Letta
from letta_client.types.folders import FileRetrieveResponse

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"


def pdf(*pages: str, password: str | None = None) -> bytes:
    """A PDF; with `password` one that needs it to be read."""
    document = FPDF()
    document.set_font("Helvetica", size=12)
    for text in pages:
        document.add_page()
        document.multi_cell(0, 8, text)
    if password is not None:
        document.set_encryption(owner_password=f"owner-{password}", user_password=password)
    return bytes(document.output())


def word(heading: str, *paragraphs: str) -> bytes:
    """A DOCX."""
    document = docx.Document()
    document.add_heading(heading)
    for text in paragraphs:
        document.add_paragraph(text)
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "left cell", "right cell"
    return _saved(document)


def slides(title: str, text: str) -> bytes:
    """A PPTX of one slide."""
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = title
    slide.placeholders[1].text = text
    return _saved(show)


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def upload(client: Letta, folder_id: str, file_name: str, data: bytes | str, **more: Any) -> Any:
    """Upload, without waiting for the file to be read."""
    raw = data.encode() if isinstance(data, str) else data
    return client.folders.files.upload(folder_id, file=(file_name, raw), **more)


def wait_read(client: Letta, folder_id: str, *file_ids: str, timeout_s: float = 60.0) -> list[FileRetrieveResponse]:
    """The files with their contents, as soon as none of them is worked on any more."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = [client.folders.files.retrieve(item, folder_id=folder_id, include_content=True) for item in file_ids]
        if all(file.processing_status in ("completed", "error") for file in found):
            return found
        assert time.monotonic() < deadline, [(file.file_name, file.processing_status) for file in found]
        time.sleep(0.02)


def put(client: Letta, folder_id: str, files: Iterable[tuple[str, bytes | str]]) -> list[FileRetrieveResponse]:
    """Upload files one after the other and wait until all are read."""
    ids = [upload(client, folder_id, name, data).id for name, data in files]
    return wait_read(client, folder_id, *ids)
