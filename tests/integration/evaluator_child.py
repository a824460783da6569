"""A room in a process of its own, for tests that send signals: an evaluator whose evaluation takes as long as it is told."""

import asyncio
import importlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.catalogue import Room
from shared.events import Event, ModelUpdated
from shared.ports import Delivery
from shared.runtime import Ports, Service, main
from shared.settings import RoomSettings
from tests.examples import evaluation_completed


class ChildSettings(RoomSettings):
    handler_s: float = 0.0
    thread_s: float = 0.0
    is_broken: bool = False
    library: str = ""


@asynccontextmanager
async def build(ports: Ports, settings: ChildSettings) -> AsyncIterator[Service]:
    if settings.library:
        importlib.import_module(settings.library)

    async def on_model_updated(event: ModelUpdated, _: Delivery) -> list[Event]:
        ports.activity.report("evaluating", run_id=event.run_id, num_done=1, num_total=2)
        await asyncio.sleep(settings.handler_s)
        await asyncio.to_thread(time.sleep, settings.thread_s)
        return [evaluation_completed(event.run_id)]

    async def watch() -> None:
        if settings.is_broken:
            raise RuntimeError("a planted bug in the background")
        await asyncio.Event().wait()

    yield Service(handlers={ModelUpdated: on_model_updated}, background=[watch])


if __name__ == "__main__":
    main(Room.EVALUATOR, ChildSettings, build)
