"""Runs a training in a process of its own, so that a crash, a leak or an out-of-memory kill in there leaves the room alive."""

import asyncio
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from services.trainer.job import Failed, Finished, Job, Progress, parse_report
from shared.errors import OutOfSpace, Rejected, Retryable

LOG = "training.log"
_JOB = "job.json"
_TAIL_BYTES = 4000
_LINE_BYTES = 1 << 20
_EXIT_AGAIN = 75
_FULL_BYTES = 16 << 20


class Cancelled(Rejected):
    """Somebody cancelled the training."""


class TrainingProcess:
    """One training's child process; reading its reports runs it."""

    def __init__(self, job: Job, *, stop_grace_s: float) -> None:
        """Takes the job, and how long the child may take to save when it is asked to stop."""
        self._job = job
        self._stop_grace_s = stop_grace_s
        self._process: asyncio.subprocess.Process | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        """Kills the training for good."""
        self._is_cancelled = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def reports(self) -> AsyncGenerator[Progress | Finished, None]:
        """Starts the child and yields what it reports, `Finished` last. Leaving early asks the child to save and stop.

        Raises:
            Rejected: the job is at fault, or the training was cancelled.
            Retryable: the child crashed or was stopped, with the end of its log; running the job again continues it.
            OutOfSpace: it ended with its disk full.
        """
        if self._is_cancelled:
            raise Cancelled(f"training {self._job.training_id} was cancelled")
        self._process = process = await self._spawn()
        finished = False
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                report = self._parse(line)
                if isinstance(report, Failed):
                    raise Rejected(f"training {self._job.training_id}: {report.reason}")
                finished = isinstance(report, Finished)
                yield report
            code = await process.wait()
        finally:
            await self._stop(process)
        if self._is_cancelled:
            raise Cancelled(f"training {self._job.training_id} was cancelled")
        if code == _EXIT_AGAIN:
            raise Retryable(f"training {self._job.training_id} was stopped before its end; it continues where it stands")
        if (code != 0 or not finished) and shutil.disk_usage(self._job.directory).free < _FULL_BYTES:
            # Its last words found no room on the same disk.
            raise OutOfSpace(
                f"training {self._job.training_id} stopped, for the disk that holds {self._job.directory} is full: free some space; "
                "the training is taken up again by itself"
            )
        if code != 0 or not finished:
            raise Retryable(f"training {self._job.training_id} ended with code {code}:\n{self._log_tail()}")

    async def _spawn(self) -> asyncio.subprocess.Process:
        directory = self._job.directory
        directory.mkdir(parents=True, exist_ok=True)
        job_file = directory / _JOB
        job_file.write_text(self._job.model_dump_json(indent=1), encoding="utf-8")
        with (directory / LOG).open("ab") as log:
            try:
                return await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "services.trainer.training_process",
                    str(job_file),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    limit=_LINE_BYTES,
                )
            except OSError as error:
                raise Retryable(f"the training process does not start: {error}") from error

    def _parse(self, line: bytes) -> Progress | Finished | Failed:
        try:
            return parse_report(line)
        except ValueError as error:
            raise Retryable(f"training {self._job.training_id} reported {line[:200]!r}, which is no report") from error

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self._stop_grace_s)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _log_tail(self) -> str:
        path: Path = self._job.directory / LOG
        return path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace") if path.is_file() else ""
