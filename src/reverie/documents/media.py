"""Which kinds of files can be read."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from reverie.documents.base import Form
from reverie.domain.errors import UnsupportedMedia

_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_DOCUMENTS: Final[Mapping[str, tuple[str, Form]]] = {
    ".pdf": ("application/pdf", "pdf"),
    ".docx": (f"{_OFFICE}.wordprocessingml.document", "docx"),
    ".pptx": (f"{_OFFICE}.presentationml.presentation", "pptx"),
    ".html": ("text/html", "html"),
    ".htm": ("text/html", "html"),
}
_TEXTS: Final = {
    "text/plain": ".txt .text .log .rst .adoc .tex .srt .vtt .diff .patch .env .properties .gitignore",
    "text/markdown": ".md .markdown .mdx",
    "application/json": ".json .ipynb",
    "application/jsonl": ".jsonl .ndjson",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/xml": ".xml .xsd .xslt .svg",
    "text/x-yaml": ".yaml .yml",
    "application/toml": ".toml",
    "text/x-ini": ".ini .cfg .conf",
    "text/css": ".css .scss .sass .less",
    "text/javascript": ".js .mjs .cjs .jsx",
    "text/x-typescript": ".ts .mts .cts .tsx",
    "text/x-python": ".py .pyi",
    "text/x-vue": ".vue .svelte",
    "text/x-java-source": ".java",
    "text/x-c": ".c .h",
    "text/x-c++": ".cpp .cxx .cc .hpp .hh",
    "text/x-csharp": ".cs",
    "text/x-php": ".php",
    "text/x-ruby": ".rb",
    "text/x-go": ".go",
    "text/x-rust": ".rs",
    "text/x-swift": ".swift",
    "text/x-kotlin": ".kt .kts",
    "text/x-scala": ".scala",
    "text/x-r": ".r",
    "text/x-objective-c": ".m",
    "text/x-lua": ".lua",
    "text/x-perl": ".pl .pm",
    "text/x-dart": ".dart",
    "text/x-elixir": ".ex .exs",
    "text/x-haskell": ".hs",
    "text/x-clojure": ".clj",
    "text/x-shellscript": ".sh .bash .zsh .fish",
    "text/x-powershell": ".ps1",
    "text/x-batch": ".bat .cmd",
    "text/x-dockerfile": ".dockerfile",
    "text/x-sql": ".sql",
    "text/x-graphql": ".graphql .proto",
}
_BY_ENDING: Final[Mapping[str, str]] = {ending: name for ending, (name, _) in _DOCUMENTS.items()} | {
    ending: name for name, endings in _TEXTS.items() for ending in endings.split()
}
_FORMS: Final[Mapping[str, Form]] = dict(_DOCUMENTS.values()) | dict.fromkeys(_TEXTS, "text")
_NAMES: Final = {"dockerfile": "text/x-dockerfile", "makefile": "text/plain", "readme": "text/plain"}
_TEXT_APPLICATIONS: Final = frozenset(
    {"application/javascript", "application/x-yaml", "application/yaml", "application/x-sh", "application/sql",
     "application/x-ndjson", "application/x-python-code", "application/typescript"}
)  # fmt: skip
READABLE: Final = "PDF, DOCX, PPTX, HTML, Markdown, JSON, CSV, plain text and source code"


def media_type_of(file_name: str, declared: str | None) -> str:
    """The media type of a file: by its ending, else by what the client says.

    Raises:
        UnsupportedMedia: neither names something that can be read.
    """
    path = PurePosixPath(file_name.lower())
    known = _BY_ENDING.get(path.suffix) or _NAMES.get(path.name)
    if known is not None:
        return known
    said = (declared or "").partition(";")[0].strip().lower()
    if said in _FORMS or said in _TEXT_APPLICATIONS or said.startswith("text/"):
        return said
    kind = path.suffix or said or "without an ending or media type"
    raise UnsupportedMedia(f"file {file_name!r} is of a kind that cannot be read ({kind}); these can be: {READABLE}")


def form_of(media_type: str) -> Form:
    """How files of a media type are read."""
    return _FORMS.get(media_type, "text")
