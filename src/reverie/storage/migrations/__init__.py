"""The one history of the schema, for both databases. Files in `versions` are never changed once released."""

from pathlib import Path
from typing import Final

VERSIONS: Final = Path(__file__).parent / "versions"


def known_revisions() -> list[str]:
    """All revisions, oldest first: the four digits that each file's name begins with."""
    return sorted(path.name[:4] for path in VERSIONS.glob("[0-9][0-9][0-9][0-9]_*.py"))
