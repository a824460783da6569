"""A loopback proxy between a client and a server: cuts connections after so many bytes of answer, holds uploads back for each other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import suppress

_CHUNK_BYTES = 1 << 16
_GATHER_S = 3
"""Shorter than a server waits for a body."""


class FaultyNetwork:
    """Forwards to a server; every connection that is cut is reset, as by a crash on the way."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.num_to_gather = 0
        """Connections with more than a chunk to bring wait until so many of them do; alone for long, they are cut."""
        self.num_to_cut = 0
        self.cut_after_bytes = 0
        self._host, self._port = host, port
        self._num_waiting = 0
        self._gathered = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        ways = [
            asyncio.create_task(self._forward(reader, up_writer, is_answer=False)),
            asyncio.create_task(self._forward(up_reader, writer, is_answer=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for side in (writer, up_writer):
                side.close()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool) -> None:
        num_bytes = 0
        with suppress(ConnectionError, TimeoutError):
            while chunk := await source.read(_CHUNK_BYTES):
                num_bytes += len(chunk)
                if is_answer and self.num_to_cut > 0 and num_bytes > self.cut_after_bytes:
                    self.num_to_cut -= 1
                    sink.transport.abort()
                    return
                if not is_answer and num_bytes - len(chunk) < _CHUNK_BYTES <= num_bytes:
                    await asyncio.wait_for(self._gather(), _GATHER_S)
                sink.write(chunk)
                await sink.drain()

    async def _gather(self) -> None:
        self._num_waiting += 1
        try:
            if self._num_waiting >= self.num_to_gather:
                self._gathered.set()
            await self._gathered.wait()
        finally:
            self._num_waiting -= 1


@contextlib.asynccontextmanager
async def faulty_network(host: str, port: int) -> AsyncIterator[FaultyNetwork]:
    """A proxy to host and port, faultless until told otherwise."""
    network = FaultyNetwork(host, port)
    server = await asyncio.start_server(network.serve, "127.0.0.1", 0)
    network.port = server.sockets[0].getsockname()[1]
    try:
        yield network
    finally:
        server.close()
