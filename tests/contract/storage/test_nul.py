"""A NUL in any text is dropped before it is stored, on both databases."""

from reverie.auth.keys import LOCAL_CALLER
from reverie.domain.block import BlockDraft
from reverie.operations import blocks
from reverie.operations.base import Operations
from reverie.storage.nul import clean_json


async def test_nul_is_dropped_from_texts_and_json(ops: Operations) -> None:
    made = await blocks.create(
        ops, LOCAL_CALLER, BlockDraft(label="a", value="one\x00two", metadata={"key": "x\x00y", "plain": "\\u0000"})
    )
    read = await blocks.retrieve(ops, LOCAL_CALLER, made.id)
    assert read.value == "onetwo"
    assert read.metadata == {"key": "xy", "plain": "\\u0000"}


def test_only_real_nuls_are_dropped_from_json() -> None:
    assert clean_json(r'["a\u0000b", "\\u0000", "\\\u0000"]') == r'["ab", "\\u0000", "\\"]'
