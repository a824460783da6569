"""One child process of the embedded stack: started, tied to our life, logged to a file, started again when it dies, stopped."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shared.errors import SpiralError

_TIED = Path(__file__).with_name("tied.py")
_MAX_LOG_BYTES = 32 << 20

# A process that lives so long was well: what ends it then is a new failure.
_QUICK_S = 10.0
_MAX_QUICK_FAILURES = 5
_FIRST_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 10.0
EXIT_WRONG_SETTINGS = 2


class ChildFailed(SpiralError):
    """A process of the stack keeps dying; the text holds the end of its log."""


class Child:
    """A command that should run until `stop`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        descriptors: Sequence[int] = (),
        may_leave: bool = False,
    ) -> None:
        """Describes a child: its whole environment, its working directory, the file for its output, and open files that it inherits.

        One that `may_leave` was asked to go where it ends with exit code 0, and is not started again.
        """
        self.name, self.log = name, log
        self.num_restarts = 0
        self.has_left = False
        self._may_leave = may_leave
        self._command, self._environment, self._directory, self._descriptors = command, environment, directory, descriptors
        self._process: asyncio.subprocess.Process | None = None
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts the command; it leads a process group of its own, so a Ctrl-C in the terminal reaches us alone."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self._started_at = time.monotonic()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                # Without site packages: the launcher needs none and starts faster.
                *(sys.executable, "-S", "-E", str(_TIED), str(os.getpid()), *self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self._directory,
                env=dict(self._environment),
                start_new_session=True,
                pass_fds=self._descriptors,
            )

    async def keep_running(self, announce: Callable[[str], None]) -> None:
        """Starts the command again whenever it ends, later and later while it ends quickly; returns once it has left.

        Raises:
            ChildFailed: it refuses its settings, or ended quickly five times in a row.
        """
        num_quick = 0
        while True:
            code = await self._ended()
            if self._may_leave and code == 0:
                self.has_left = True
                announce(f"{self.name} was asked to leave and has left; it is not started again")
                return
            num_quick = num_quick + 1 if time.monotonic() - self._started_at < _QUICK_S else 0
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            if code == EXIT_WRONG_SETTINGS or num_quick >= _MAX_QUICK_FAILURES:
                times = f" {num_quick} times within {_QUICK_S:.0f} s of its start" if num_quick > 1 else ""
                raise ChildFailed(f"{self.name} {how}{times}. The end of {self.log}:\n{self.log_tail()}")
            backoff_s = min(_FIRST_BACKOFF_S * 2**num_quick, _MAX_BACKOFF_S) if num_quick else 0.0
            announce(f"{self.name} {how}; it starts again{f' in {backoff_s:.1f} s' if backoff_s else ''}")
            await asyncio.sleep(backoff_s)
            self.num_restarts += 1
            await self.start()
            announce(f"{self.name} started again")

    def terminate(self) -> None:
        """Asks the process to end."""
        if self.pid is not None and self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    async def stop(self, grace_s: float) -> None:
        """Ends the process: SIGTERM, and SIGKILL to it and all that it started once the grace is over."""
        self.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self._ended()
        except TimeoutError:
            self._kill_group()
            await self._ended()

    def log_tail(self, num_lines: int = 20) -> str:
        """The last lines of the log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-num_lines:])

    async def _ended(self) -> int:
        if self._process is None:
            return 0
        code = await self._process.wait()
        # What it started in its group and left behind must not work beside its successor.
        self._kill_group()
        return code

    def _kill_group(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
