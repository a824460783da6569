"""A few processes that decode images side by side, so that what strangers' bytes do to a decoder they do to one process and one image."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from services.cli.pool_decoder import LENGTH, caps_frame, frame, read_answer
from services.cli.pool_sources import Unusable
from shared.domain import RejectionReason
from shared.errors import Retryable
from shared.images.intake import Intake, IntakeCaps

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 60.0
_START_PATIENCE_S = 60.0
_NUM_ATTEMPTS = 2
DECODER_COMMAND = (sys.executable, "-m", f"{__package__}.pool_decoder")

_Answer = tuple[dict[str, Any], bytes, bytes]


class Decoders:
    """`num_processes` decoders while the block lasts; one that dies of an image, or takes too long over it, is started anew."""

    def __init__(
        self, num_processes: int, caps: IntakeCaps, *, patience_s: float = _PATIENCE_S, command: Sequence[str] = DECODER_COMMAND
    ) -> None:
        """Describes the decoders.

        Args:
            num_processes: how many.
            caps: what they decode.
            patience_s: how long one may take over an image.
            command: what starts one.
        """
        self.num_processes, self._caps, self._patience_s, self._command = num_processes, caps, patience_s, command
        self._idle: asyncio.Queue[_Decoder] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        for decoder in await asyncio.gather(*(self._start() for _ in range(self.num_processes))):
            self._idle.put_nowait(decoder)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while not self._idle.empty():
            await self._idle.get_nowait().stop()

    async def take_in(self, payload: bytes) -> Intake:
        """The pool image that a file becomes; waits for an idle decoder.

        Raises:
            Unusable: it is refused, two decoders died of it, or it took too long.
            Retryable: no decoder can be started.
        """
        # A decoder may also die of what was no fault of its image, as where the machine is out of memory.
        for _ in range(_NUM_ATTEMPTS):
            with suppress(_Died):
                about, image, thumbnail = await self._ask(payload)
                if "refused" in about:
                    raise Unusable(about["refused"], about["detail"])
                return read_answer(about, image, thumbnail)
        raise Unusable(RejectionReason.IMAGE_UNDECODABLE.value, f"{_NUM_ATTEMPTS} decoders died of it")

    async def _ask(self, payload: bytes) -> _Answer:
        decoder = await self._idle.get()
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await decoder.ask(payload)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            await decoder.stop()
            self._idle.put_nowait(await self._start())
            if isinstance(error, TimeoutError):
                detail = f"does not decode within {self._patience_s:g} s"
                raise Unusable(RejectionReason.IMAGE_UNDECODABLE.value, detail) from error
            raise _Died from error
        except BaseException:
            await decoder.stop()
            raise
        self._idle.put_nowait(decoder)
        return answer

    async def _start(self) -> "_Decoder":
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Decoders grumble there about what they take in all the same.
            stderr=asyncio.subprocess.DEVNULL,
            # Here `-m` finds the package wherever we were started.
            cwd=_ROOT,
            # A Ctrl-C in the terminal reaches us alone.
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        decoder = _Decoder(process, process.stdin, process.stdout)
        try:
            process.stdin.write(caps_frame(self._caps))
            async with asyncio.timeout(_START_PATIENCE_S):
                await decoder.frame()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            await decoder.stop()
            raise Retryable(f"a process that decodes images does not start (exit code {process.returncode})") from error
        return decoder


class _Died(Exception):
    """A decoder ended before it answered."""


class _Decoder:
    """One process; it has one image at a time."""

    def __init__(self, process: asyncio.subprocess.Process, requests: asyncio.StreamWriter, answers: asyncio.StreamReader) -> None:
        self._process, self._requests, self._answers = process, requests, answers

    async def ask(self, payload: bytes) -> _Answer:
        """What it says of an image, and where it took it in the image and its thumbnail."""
        self._requests.write(frame(payload))
        await self._requests.drain()
        about = json.loads(await self.frame())
        return (about, b"", b"") if "refused" in about else (about, await self.frame(), await self.frame())

    async def frame(self) -> bytes:
        """The next frame that it says."""
        (length,) = LENGTH.unpack(await self._answers.readexactly(LENGTH.size))
        return await self._answers.readexactly(length)

    async def stop(self) -> None:
        """Ends the process."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._requests.close()
        await self._process.wait()
