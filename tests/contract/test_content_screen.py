"""The `ContentScreen` port: one suite for the local patterns and for the hook behind HTTP; and how a broken hook is told."""

from collections.abc import AsyncIterator

import pytest

from services.quality.content_screen import ContentScreen, PersonalDataScreen
from services.quality.screen_service import open_screen_service
from shared.errors import Retryable
from tests.broker import free_port
from tests.screen_server import ScreenServer
from tests.unit.quality.suspects import drawing, encoded

IMAGE = encoded(drawing(1))
SECRET = encoded(drawing(2))


def rule(image: bytes, text: str) -> list[str]:
    """An operator's own: addresses in the text, and one image that it knows."""
    return ["an e-mail address"] * ("@gmail.com" in text) + ["a known image"] * (image == SECRET)


@pytest.fixture(params=["patterns", "hook"])
async def screen(request: pytest.FixtureRequest) -> AsyncIterator[ContentScreen]:
    if request.param == "patterns":
        yield PersonalDataScreen()
    else:
        with ScreenServer(rule) as server:
            async with open_screen_service(server.url, timeout_s=5) as opened:
                yield opened


async def test_what_is_safe_passes_and_what_is_not_is_named(screen: ContentScreen) -> None:
    assert await screen.find(IMAGE, "How many red dots are there?\n4") is None
    found = await screen.find(IMAGE, "Who is jane.doe@gmail.com?\nJane")
    assert found is not None and "an e-mail address" in found
    assert await screen.find(IMAGE, "Größer als «7»?\nja") is None


async def test_the_hook_sees_the_image() -> None:
    with ScreenServer(rule) as server:
        async with open_screen_service(server.url, timeout_s=5) as hook:
            assert await hook.find(SECRET, "?") == "a known image"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, b"", "status 500"),
        (503, b"{}", "status 503"),
        (302, b"", "status 302"),
        (404, b"", "status 404"),
        (200, b"", "no verdict"),
        (200, b"[]", "no verdict"),
        (200, b'{"reasons": []}', "is_unsafe"),
        (200, b'{"is_unsafe": "no"}', "is_unsafe"),
        (200, b'{"is_unsafe": false, "reasons": ' + b"[]" * 40_000, "more than"),
    ],
)
async def test_a_broken_hook_says_nothing_of_the_candidate(status: int, body: bytes, told: str) -> None:
    with ScreenServer(rule) as server:
        server.broken = (status, body)
        async with open_screen_service(server.url, timeout_s=5) as hook:
            with pytest.raises(Retryable, match=told):
                await hook.find(IMAGE, "?")


async def test_a_hook_that_is_away_or_does_not_answer_is_tried_again_later() -> None:
    async with open_screen_service(f"http://127.0.0.1:{free_port()}/screen", timeout_s=5) as hook:
        with pytest.raises(Retryable, match="can't be asked"):
            await hook.find(IMAGE, "?")
    with ScreenServer(rule) as server:
        server.hangs = True
        async with open_screen_service(server.url, timeout_s=0.2) as hook:
            with pytest.raises(Retryable, match="can't be asked"):
                await hook.find(IMAGE, "?")
