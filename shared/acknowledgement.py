"""What a room tells the broker about a delivery, and what an error means for one."""

import errno

import grpc.aio
from nats.aio.msg import Msg

from shared.bus import UNAVAILABLE, Bus
from shared.errors import OutOfSpace, Rejected, Retryable, SpiralError
from shared.rpc import translated
from shared.telemetry import log


class Exhausted(SpiralError):
    """An event was delivered so often without an end that it is a dead letter: it may kill its room."""


class Acknowledgements:
    """The five words of JetStream: done, later, now to somebody else, never again, still at it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def done(self, message: Msg) -> None:
        """Double ack: returns once the broker has noted it. A lost answer is asked for again; the event is done either way."""
        reason = ""
        for _ in range(3):
            try:
                await self._bus.replies.request(message.reply, b"+ACK")
                return
            except UNAVAILABLE as error:
                reason = repr(error)
        log.warning("acknowledgement not confirmed: the broker may deliver the event again", reason=reason)

    async def later(self, message: Msg, delay_s: float) -> None:
        """Hands an event back, to be delivered again after a delay."""
        await self._bus.client.publish(message.reply, b'-NAK {"delay": %d}' % int(delay_s * 1e9))

    async def hand_back(self, message: Msg) -> None:
        """Hands an event back, to be delivered again at once."""
        await self._bus.client.publish(message.reply, b"-NAK")

    async def never_again(self, message: Msg) -> None:
        """Ends an event's deliveries; returns once the broker has noted it."""
        await self._bus.replies.request(message.reply, b"+TERM")

    async def still_at_it(self, message: Msg) -> None:
        """Begins the ack wait anew; a sign that gets lost is followed by the next."""
        try:
            await self._bus.client.publish(message.reply, b"+WPI")
        except UNAVAILABLE as error:
            log.debug("heartbeat not heard", reason=repr(error))


def meaning(error: BaseException | None) -> BaseException | None:
    """What an error means for the event: a group as its worst member if all are ours, a failed call as what its status says, a full disk
    as that, whichever library met it.
    """
    if isinstance(error, BaseExceptionGroup):
        members = [meaning(member) for member in error.exceptions]
        if all(isinstance(member, Rejected | Retryable) for member in members):
            return next((member for member in members if isinstance(member, Rejected)), members[0])
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        error = translated(error)
    if isinstance(error, OutOfSpace) or not isinstance(error, Exception):
        return error
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or "no space left on device" in str(error).lower():
        return OutOfSpace(f"a disk that this room writes to is full: free some space; the work is taken up again by itself ({error})")
    return error
