"""What a half-done evaluation has answered so far, on this machine's disk: lost without harm, but then it is asked again."""

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from shared import wire
from shared.durable_files import place, stage
from shared.errors import Rejected
from shared.events import ModelUpdated
from shared.prompt import PROMPT_TEMPLATE
from shared.run_spec import RunSpec
from shared.tables import AnswerRow, read_answers, write_answers


class HalfDone:
    """The answered chunks of one evaluation. What was asked otherwise, or of another checkpoint, is another evaluation."""

    def __init__(self, directory: Path, event: ModelUpdated, spec: RunSpec) -> None:
        asked = hashlib.sha256(wire.encode(spec.evaluation))
        for part in (event.model.checkpoint.sha256, spec.probes.sha256, spec.exam.sha256, str(spec.seed), PROMPT_TEMPLATE):
            asked.update(part.encode())
        self._directory = directory / f"{event.run_id}-{event.iteration}-{asked.hexdigest()[:16]}"

    async def recall(self, key: str) -> list[AnswerRow] | None:
        """A chunk's answers, or None where it must be asked."""
        path = self._path(key)
        try:
            return read_answers(await asyncio.to_thread(path.read_bytes), str(path))
        except FileNotFoundError:
            return None
        except Rejected:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            return None

    async def remember(self, key: str, rows: Sequence[AnswerRow]) -> None:
        """Keeps a chunk's answers."""
        await asyncio.to_thread(self._write, self._path(key), write_answers(rows))

    async def forget(self) -> None:
        """Removes what was kept: the evaluation is committed."""
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.parquet"

    def _write(self, path: Path, payload: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        place(stage([payload], path.parent), path)
