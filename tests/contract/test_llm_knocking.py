"""Whether somebody is at an endpoint's address is found out without paying, and without a call that has to fail first."""

from pathlib import Path

import pytest

from shared.errors import Retryable
from tests.broker import free_port
from tests.contract.llm_desk import QUICK, Count, desk
from tests.rooms import eventually
from tests.scripted_llm import Fault, ScriptedLlm

GOOD = '{"number": 4}'


async def test_an_endpoint_that_nobody_is_at_is_away_until_somebody_comes(tmp_path: Path) -> None:
    port = free_port()
    async with desk(tmp_path, f"http://127.0.0.1:{port}/v1") as opened:
        assert not opened.models.away, "nothing is known yet"
        await opened.models.knock()
        assert opened.models.away == f"the endpoint 'test' at http://127.0.0.1:{port}/v1 can't be reached (ConnectError)"
        with ScriptedLlm(lambda request: GOOD, port=port) as llm:
            await opened.models.knock()
            assert not opened.models.away
            num_bodies = len(llm.bodies)
            await opened.models.knock()
            assert len(llm.bodies) == num_bodies, "what is known is not asked again"
            assert (await opened.ask()).value == Count(number=4)
        assert (await opened.spent()).num_calls == 1


async def test_an_endpoint_that_died_stays_away_while_nobody_is_there(tmp_path: Path) -> None:
    port = free_port()
    with ScriptedLlm(lambda request: GOOD, port=port):
        async with desk(tmp_path, f"http://127.0.0.1:{port}/v1") as opened:
            await opened.ask()
    async with desk(tmp_path, f"http://127.0.0.1:{port}/v1", tuning=QUICK) as opened:
        with pytest.raises(Retryable):
            await opened.ask(7)
        assert "can't be reached" in opened.models.away

        async def is_tried_again() -> bool:
            await opened.models.knock()
            return "see whether it runs" not in opened.models.away

        await eventually(is_tried_again)
        assert "can't be reached" in opened.models.away, "it was left alone for long enough, and still nobody is there"
        with ScriptedLlm(lambda request: GOOD, port=port):
            await opened.models.knock()
            assert not opened.models.away


async def test_a_refused_key_keeps_an_endpoint_away_until_another_one_stands_in_the_file(tmp_path: Path) -> None:
    key_file = tmp_path / "test.key"
    key_file.write_text("old")
    with ScriptedLlm(lambda request: GOOD, api_key="new") as llm:
        async with desk(tmp_path, llm.url, api_key_file=key_file) as opened:
            await opened.models.knock()
            assert not opened.models.away, "a key that may only chat is a good key"
            with pytest.raises(Retryable, match="refuses the key"):
                await opened.ask()
            num_asked = len(llm.bodies)

            async def was_asked_again() -> bool:
                await opened.models.knock()
                return len(llm.bodies) > num_asked

            await eventually(was_asked_again)
            assert "refuses the key (401): put a valid one into the file" in opened.models.away
            key_file.write_text("new")
            await opened.models.knock()
            assert not opened.models.away
            assert (await opened.ask()).value == Count(number=4)


async def test_a_server_without_a_list_of_models_counts_as_there(tmp_path: Path) -> None:
    with ScriptedLlm(lambda request: Fault.failed(404)) as llm:
        async with desk(tmp_path, llm.url.removesuffix("/v1") + "/other") as opened:
            await opened.models.knock()
            assert not opened.models.away
