"""A replica's place in the registry of generators: there while it can serve, gone while it can't."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from shared.domain import GeneratorRegistration
from shared.errors import Retryable
from shared.ports import Activity
from shared.registry import GeneratorRegistry
from shared.telemetry import log


class Attendance:
    """This replica's entry in the registry, said again and again while it lives and can serve."""

    def __init__(
        self,
        registry: GeneratorRegistry,
        entry: GeneratorRegistration,
        *,
        every_s: float,
        lacks: Callable[[], str] = lambda: "",
        activity: Activity | None = None,
    ) -> None:
        """Describes a replica.

        Args:
            registry: where it is known.
            entry: what it says of itself; may be replaced while it lives.
            every_s: seconds between two announcements.
            lacks: what it lacks to serve, in words; empty where nothing. While it lacks something it stays out of the registry.
            activity: told of what it lacks.
        """
        self._registry = registry
        self.entry = entry
        self._every_s = every_s
        self._lacks = lacks
        self._activity = activity
        self._lacking = ""

    async def announce_draining(self) -> None:
        """Says that this replica takes no more leases."""
        self.entry = replace(self.entry, is_draining=True)
        if not self._lacking:
            await self._registry.announce(self.entry)

    async def beat(self, grpc_address: Callable[[], str]) -> None:
        """Announces until cancelled, then withdraws; a broker that is away is no reason to end."""
        self.entry = replace(self.entry, grpc_address=grpc_address())
        try:
            while True:
                try:
                    await self._announce()
                except Retryable as error:
                    log.debug("announcement not heard", reason=str(error))
                await asyncio.sleep(self._every_s)
        finally:
            await self._registry.withdraw(self.entry)

    async def _announce(self) -> None:
        was_lacking, self._lacking = self._lacking, self._lacks()
        if self._lacking != was_lacking:
            self._tell(self._lacking)
        if not self._lacking:
            await self._registry.announce(self.entry)
        elif not was_lacking:
            await self._registry.withdraw(self.entry)

    def _tell(self, lacking: str) -> None:
        if lacking:
            log.warning("out of the registry", lacking=lacking)
        else:
            log.info("back in the registry")
        if self._activity is not None:
            self._activity.report(lacking)
