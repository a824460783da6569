"""One connection to a NATS server: how it is made, what is said when it is refused, and how it ends for good."""

import asyncio
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client

from shared.cancellation import end
from shared.errors import BadConfiguration, Retryable, SpiralError
from shared.settings import RoomSettings
from shared.telemetry import log

_DENIED = re.compile(r"permissions violation for (publish|subscription) to (.*)", re.IGNORECASE)
_CLOSE_S = 5.0
_REMIND_S = 60.0
_LOGIN_REFUSED = re.compile(r"authorization|authentication", re.IGNORECASE)


class BrokerLink:
    """A connection that, once made, comes back by itself however long the broker is away; unless the broker refuses us."""

    def __init__(self, settings: RoomSettings) -> None:
        self.client = Client()
        self.on_reconnect: list[Callable[[], None]] = []
        self.closed: asyncio.Future[SpiralError] = asyncio.get_running_loop().create_future()
        """Gets the reason when the connection ends for good, other than by us."""
        self.denials: list[str] = []
        """What the broker did not allow us, in words. What was asked gets no answer."""
        self._denied_at: dict[str, float] = {}
        self._settings = settings
        self._where = ",".join(url.split("@")[-1].removeprefix("nats://") for url in settings.bus_url.split(","))
        first = urlsplit(settings.bus_url.split(",")[0])
        # A name without a password is a token, which is a secret.
        self._user = first.username if first.password else None
        self._password = first.password
        self._last_error: Exception | None = None
        self._is_made = self._is_closing = False

    async def open(self, name: str) -> None:
        """Connects.

        Raises:
            Retryable: no broker answered within `start_timeout_s`.
            BadConfiguration: the broker refuses us.
        """
        settings = self._settings
        self._connecting = asyncio.create_task(
            self.client.connect(
                servers=settings.bus_url.split(","),
                name=name,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnect,
                reconnected_cb=self._on_reconnect,
                closed_cb=self._on_closed,
                connect_timeout=5,
                reconnect_time_wait=0.25,  # type: ignore[arg-type]
                max_reconnect_attempts=-1,
                ping_interval=20,
                pending_size=16 * 1024 * 1024,
                user_credentials=settings.bus_credentials,
                # Also for servers of a cluster that we are told of, whose addresses name nobody.
                user=self._user,
                password=self._password,
                # Answers come where no other user of the broker may listen.
                inbox_prefix=f"_INBOX.{self._user}" if self._user else "_INBOX",
            )
        )
        either: set[asyncio.Future[Any]] = {self._connecting, self.closed}
        await asyncio.wait(either, timeout=settings.start_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self.closed.done():
            raise self.closed.result()
        if not self._connecting.done():
            reason = f": {self._last_error!r}" if self._last_error else ""
            raise Retryable(
                f"no NATS server answered at {self._where} within {settings.start_timeout_s:g} s{reason}. "
                "Start it (`make run` brings its own), or set SPIRAL_BUS_URL."
            )
        await self._connecting
        self._is_made = True

    async def close(self) -> None:
        """Ends the connection, or the attempt to make one."""
        self._is_closing = True
        # What could not be sent any more, the broker's absence has settled already.
        closing = asyncio.create_task(self.client.close())
        await asyncio.wait({closing}, timeout=_CLOSE_S)
        await end([self._connecting, closing])
        await asyncio.gather(self._connecting, closing, return_exceptions=True)

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        denied = _DENIED.search(str(error))
        if denied is not None:
            verb = {"publish": "publish to"}.get(denied[1].lower(), "subscribe to")
            # The client library lowers the subject's letters.
            text = f"the broker does not allow {f'user {self._user!r}' if self._user else 'us'} to {verb} {denied[2]}"
            text += ": correct this user's permissions in the broker's configuration"
            now = asyncio.get_running_loop().time()
            if now - self._denied_at.get(text, -_REMIND_S) >= _REMIND_S:
                self._denied_at[text] = now
                log.error(text)
            if text not in self.denials:
                self.denials.append(text)
        elif _LOGIN_REFUSED.search(str(error)):
            self._close_with(BadConfiguration(self._login_refusal()))
        else:
            log.debug("broker", error=repr(error))

    async def _on_disconnect(self) -> None:
        if self._is_made and not self._is_closing:
            log.warning("the broker is away, reconnecting", bus=self._where)

    async def _on_reconnect(self) -> None:
        log.info("the broker is back")
        for callback in self.on_reconnect:
            callback()

    async def _on_closed(self) -> None:
        if self._is_closing:
            return
        error = self.client.last_error
        if error is not None and _LOGIN_REFUSED.search(str(error)):
            self._close_with(BadConfiguration(self._login_refusal()))
        self._close_with(Retryable(f"the broker closed the connection for good: {error!r}"))

    def _close_with(self, reason: SpiralError) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)

    def _login_refusal(self) -> str:
        if self._settings.bus_credentials is not None:
            return f"the broker at {self._where} refuses the credentials in {self._settings.bus_credentials}: check SPIRAL_BUS_CREDENTIALS"
        if self._user is None:
            return f"the broker at {self._where} wants to know who we are: write SPIRAL_BUS_URL as nats://USER:PASSWORD@host:port"
        return f"the broker at {self._where} refuses user {self._user!r}: check user and password in SPIRAL_BUS_URL"
