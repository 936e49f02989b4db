"""The difference between "leave as it is" and "set to nothing", for partial updates."""

from enum import Enum
from typing import Final, Literal, TypeAlias


class _Unset(Enum):
    UNSET = "unset"


UNSET: Final = _Unset.UNSET
Unset: TypeAlias = Literal[_Unset.UNSET]
"""Type of a field that a partial update may leave out."""
