"""Whatever goes wrong with a model ends as a typed failure or with the lease handed back, never with a candidate that nobody made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.generators.agentic.workshop import craft_list, rules_of
from shared.bus import Bus
from shared.errors import Retryable
from shared.llm.spending import read_spending
from shared.run_spec import QualitySpec, SpendingSpec
from shared.settings import RoomSettings
from tests.agentic_stage import assignments, stage
from tests.integration.test_agentic_lists import failures, is_true
from tests.pool_images import draw_pictures
from tests.scripted_llm import ChatRequest, Fault
from tests.scripted_llm.sighted import Sighted

RULES = rules_of(QualitySpec(), 3)
AGENTS = {"Blueprint": "blueprint", "Selection": "select", "Observations": "observe", "NumericItem": "ask", "Solution": "solve"}
SIGHTED = Sighted()


def failing(schema_name: str, fault: Callable[[str], Fault | str]) -> Callable[[ChatRequest], str | Fault]:
    """A script where one agent's model fails every time."""

    def script(request: ChatRequest) -> str | Fault:
        answer = SIGHTED(request)
        return fault(answer) if request.schema_name == schema_name else answer

    return script


@pytest.mark.parametrize("schema_name", AGENTS)
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda answer: Fault.refuse(), "refusal"),
        (lambda answer: Fault.truncated(answer[: len(answer) // 2]), "truncated"),
        (lambda answer: answer[: len(answer) // 2], "schema"),
        (lambda answer: '{"verdict": "fine"}', "schema"),
        (lambda answer: Fault.empty(), "empty"),
        (lambda answer: Fault.failed(400), "rejected"),
    ],
    ids=["refusal", "truncated", "half a JSON", "another schema", "empty", "refused by the endpoint"],
)
async def test_an_unusable_reply_is_a_failure_of_that_agent(
    bus: Bus, settings: RoomSettings, tmp_path: Path, schema_name: str, fault: Callable[[str], Fault | str], reason: str
) -> None:
    script = failing(schema_name, fault)
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(2), script=script) as on:
        batch = await craft_list(on.equipment, assignments(num=2), RULES)
        assert (batch.crafted, failures(batch)) == ((), {(AGENTS[schema_name], reason): 2})
        # What was billed is told, though nothing came of it.
        told = sum(spend.num_calls for spend in batch.spent)
        assert told == len(on.llm.requests) - (2 if reason == "rejected" else 0)


@pytest.mark.parametrize(
    "fault",
    [
        lambda answer: Fault.failed(429, retry_after="0"),
        lambda answer: Fault.failed(503),
        lambda answer: Fault.drop(),
        lambda answer: Fault.cut_off(answer),
        lambda answer: Fault.garbled(),
    ],
    ids=["429", "503", "dropped", "cut off", "garbled"],
)
async def test_an_endpoint_that_stumbles_is_asked_again(
    bus: Bus, settings: RoomSettings, tmp_path: Path, fault: Callable[[str], Fault]
) -> None:
    stumbled = set[tuple[str, int | None]]()

    def script(request: ChatRequest) -> str | Fault:
        answer, which = SIGHTED(request), (request.schema_name, request.seed)
        if which not in stumbled:
            stumbled.add(which)
            return fault(answer)
        return answer

    async with stage(bus, settings, tmp_path, pictures=draw_pictures(2), script=script) as on:
        made = 0
        for _ in range(30):
            try:
                batch = await craft_list(on.equipment, assignments(num=2), RULES)
            except Retryable:
                continue
            made = len(batch.crafted)
            break
        assert made == 2, batch.failures
        assert all(is_true(crafted.candidate) for crafted in batch.crafted)


@pytest.mark.parametrize(
    "fault",
    [lambda answer: Fault.hang(), lambda answer: Fault.drip(answer, interval_s=0.1), lambda answer: Fault.failed(500)],
    ids=["hangs", "drips", "500"],
)
async def test_an_endpoint_that_is_away_hands_the_lease_back_and_what_was_paid_is_kept(
    bus: Bus, settings: RoomSettings, tmp_path: Path, fault: Callable[[str], Fault]
) -> None:
    pictures = draw_pictures(2)
    async with stage(bus, settings, tmp_path, pictures=pictures, script=failing("Observations", fault), timeout_s=0.5) as on:
        with pytest.raises(Retryable):
            await craft_list(on.equipment, assignments(num=2), RULES)
        assert {request.schema_name for request in on.llm.requests} == {"Blueprint", "Selection", "Observations"}
    async with stage(bus, settings, tmp_path) as on:
        batch = await craft_list(on.equipment, assignments(num=2), RULES)
        assert len(batch.crafted) == 2
        assert {request.schema_name for request in on.llm.requests} == {"Observations", "NumericItem", "Solution"}
        assert {spend.role for spend in batch.spent} == {"observe", "ask", "solve"}


async def test_a_spent_budget_ends_with_what_there_is_and_is_never_overrun(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    spending = SpendingSpec(max_calls=17)
    async with stage(bus, settings, tmp_path, pictures=draw_pictures(6), spending=spending) as on:
        batch = await craft_list(on.equipment, assignments(num=6), RULES)
        assert batch.is_budget_spent
        assert sum(count for (_, reason), count in failures(batch).items() if reason == "budget_spent") == 6 - len(batch.crafted)
        assert len(on.llm.requests) <= 17
        again = await craft_list(on.equipment, assignments(num=6, seed=7), RULES)
        assert (again.crafted, len(on.llm.requests)) == ((), 17)
    spent = await read_spending(await bus.bucket("spiral_spending"), "r1")
    assert sum(spend.num_calls for spend in spent) == 17
