"""Who may use which image in one list of candidates: no image or likeness of it too often, and no web site.

Candidates are made at the same time, yet who gets an image must not hang on who is faster: the same lease makes the same candidates after
every crash. So claims are heard in the order of the list, and each waits until all before it are heard.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.generators.agentic.tools.refusals import Refused
from services.generators.agentic.tools.source_caps import SourceCaps, SourceMark, check_caps
from shared.images.perceptual_hash import mirrored_hash


class Claims:
    """The claims of one list."""

    def __init__(self, num_candidates: int, caps: SourceCaps) -> None:
        self._turns = [asyncio.Event() for _ in range(num_candidates)]
        self._caps = caps
        self._granted: list[SourceMark] = []

    async def first_free(self, index: int, wanted: Sequence[SourceMark]) -> int | None:
        """The place of the first mark that a candidate may still have, once all candidates before it have passed on; None where none is.

        That one is granted. The candidate keeps its turn until it passes on.
        """
        for turn in self._turns[:index]:
            await turn.wait()
        found = next((place for place, mark in enumerate(wanted) if is_free(mark, self._granted, self._caps)), None)
        if found is not None:
            self._granted.append(wanted[found])
        return found

    def pass_on(self, index: int) -> None:
        """A candidate claims nothing more, whether it has what it wanted or failed; said twice, it counts once."""
        self._turns[index].set()


def is_free(mark: SourceMark, taken: Sequence[SourceMark], caps: SourceCaps) -> bool:
    """Whether a source may be taken beside those that are; mirrored from left to right it counts as the same."""
    try:
        check_caps(mark, taken, caps)
        check_caps(replace(mark, perceptual_hash=mirrored_hash(mark.perceptual_hash)), taken, caps)
    except Refused:
        return False
    return True
