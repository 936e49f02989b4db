"""What every embedder does to what it gets."""

import math
from collections.abc import Iterator, Sequence


def unit(values: Sequence[float]) -> list[float]:
    """`values` at length one; the zero vector stays."""
    length = math.sqrt(math.fsum(value * value for value in values))
    return [value / length for value in values] if length else list(values)


def batches(texts: Sequence[str], size: int, most_chars: int) -> Iterator[list[str]]:
    """Texts in order, at most so many and so long at once; a text that is too long goes alone."""
    batch: list[str] = []
    chars = 0
    for text in texts:
        if batch and (len(batch) >= size or chars + len(text) > most_chars):
            yield batch
            batch, chars = [], 0
        batch.append(text)
        chars += len(text)
    if batch:
        yield batch
