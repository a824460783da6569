"""Images are decoded in processes of their own: what kills or stalls one costs one image."""

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from services.cli.pool_decoders import Decoders
from services.cli.pool_sources import Unusable
from shared.errors import Retryable
from shared.images.intake import IntakeCaps, take_in
from tests.unit.pool.pictures import BAD_FILES, encoded, photo

STUBBORN = (sys.executable, str(Path(__file__).with_name("stubborn_decoder.py")))
CAPS = IntakeCaps()


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def told(decoders: Decoders, payload: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        await decoders.take_in(payload)
    return caught.value.detail


async def test_a_process_takes_in_what_the_function_does() -> None:
    before = children()
    photos = [encoded(photo(seed), form) for seed in range(6) for form in ("JPEG", "PNG")]
    async with Decoders(2, CAPS) as decoders:
        assert len(children() - before) == 2
        taken = await asyncio.gather(*map(decoders.take_in, photos))
        assert taken == [take_in(payload, CAPS) for payload in photos]
        for payload in BAD_FILES.values():
            assert await told(decoders, payload)
        assert (await decoders.take_in(photos[0])) == taken[0]
    assert children() == before


async def test_caps_reach_the_process() -> None:
    async with Decoders(1, IntakeCaps(max_pixels=100)) as decoders:
        assert "more than the cap of 100" in await told(decoders, encoded(photo(1)))


async def test_an_image_that_kills_its_decoders_is_refused_and_the_next_is_taken() -> None:
    async with Decoders(1, CAPS, command=STUBBORN) as decoders:
        first = int(await told(decoders, b"who"))
        assert "2 decoders died of it" in await told(decoders, b"die")
        second = int(await told(decoders, b"who"))
        assert second != first
        assert not psutil.pid_exists(first)


async def test_a_decoder_that_dies_by_chance_costs_no_image(tmp_path: Path) -> None:
    async with Decoders(1, CAPS, command=STUBBORN) as decoders:
        first = int(await told(decoders, b"who"))
        assert int(await told(decoders, f"die once {tmp_path / 'mark'}".encode())) != first
        psutil.Process(int(await told(decoders, b"who"))).kill()
        assert int(await told(decoders, b"who"))


async def test_an_image_that_takes_too_long_is_refused_and_the_next_is_taken() -> None:
    async with Decoders(1, CAPS, command=STUBBORN, patience_s=1.0) as decoders:
        assert "does not decode within 1 s" in await told(decoders, b"hang")
        assert int(await told(decoders, b"who"))


async def test_no_process_is_left_behind_when_the_work_is_cancelled() -> None:
    before = children()
    async with Decoders(2, CAPS, command=STUBBORN) as decoders:
        hanging = [asyncio.create_task(decoders.take_in(b"hang")) for _ in range(2)]
        for _ in range(10):
            # Until both have sent their image.
            await asyncio.sleep(0)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
    assert children() == before


@pytest.mark.parametrize("command", [("/bin/false",), ("/bin/true",)])
async def test_decoders_that_do_not_start_are_an_error_of_ours(command: tuple[str, ...]) -> None:
    with pytest.raises(Retryable, match="does not start"):
        async with Decoders(1, CAPS, command=command):
            pass
