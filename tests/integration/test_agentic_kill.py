"""A real agentic process dies by SIGKILL in mid-lease: nothing is lost, little is paid twice, none of its secrets gets out."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from services.generators.agentic.assignment import assignments_of
from services.generators.agentic.workshop import craft_list, rules_of
from services.generators.candidate_identity import candidates_name
from shared.bus import Bus
from shared.dead_letters import list_dead
from shared.domain import ImageCategory, Lease
from shared.events import CandidatesGenerated
from shared.llm.spending import read_spending
from shared.run_spec import QualitySpec, SpendingSpec
from shared.runs import BusRuns
from shared.settings import RoomSettings
from shared.tables import read_candidates
from tests.agentic_stage import stage
from tests.examples import run_spec
from tests.integration.test_agentic_lists import is_true
from tests.integration.test_agentic_room import lease, objects, request
from tests.pool_images import draw_pictures, fill_pool
from tests.rooms import eventually, said
from tests.scripted_llm import ScriptedLlm, models_toml
from tests.scripted_llm.sighted import Sighted

ROOT = Path(__file__).parents[2]
KEY, ENVIRONMENT_CANARY = "sk-canary-of-the-key-file-5521", "canary-of-the-environment-8812"
NUM_LEASES, NUM_EACH = 6, 4
KILL_AFTER = (10, 40, 30, 45, 20)
"""Requests of each life; a candidate takes five."""
_UNWRITTEN = 3
"""Replies that a dying process may have got and not yet written down."""
PICTURES = draw_pictures(40, categories=(ImageCategory.MAP,))
BUDGET = SpendingSpec(max_calls=300, max_tokens=2_000_000, max_cost_usd=5.0)


@contextmanager
def child(settings: RoomSettings, models_file: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The room as a process; its environment holds a secret that is nobody's business."""
    values = {**settings.model_dump(exclude_none=True, exclude={"instance_id"}), "models_file": models_file, "announce_every_s": 0.2}
    environment = {f"SPIRAL_{name.upper()}": str(value) for name, value in values.items()}
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.generators.agentic"],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen",
                "OPENBLAS_NUM_THREADS": "1",
                "SECRET_OF_ANOTHER": ENVIRONMENT_CANARY,
                **environment,
            },
            stderr=errors,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def undisturbed(bus: Bus, settings: RoomSettings, directory: Path) -> dict[str, list[str]]:
    """Lease to the candidates that come of it when nobody dies."""
    elsewhere = room_settings_elsewhere(settings, directory)
    made = {}
    async with stage(bus, elsewhere, directory, pictures=PICTURES) as on:
        for number in range(NUM_LEASES):
            asked = assignments_of("undisturbed", 1, lease_number(number), at_most=8)
            batch = await craft_list(on.equipment, asked, rules_of(QualitySpec(), NUM_EACH))
            made[f"l{number}"] = [crafted.candidate.candidate_id for crafted in batch.crafted]
    return made


def room_settings_elsewhere(settings: RoomSettings, directory: Path) -> RoomSettings:
    directory.mkdir()
    return settings.model_copy(update={"store_url": f"file://{directory}/objects"})


def lease_number(number: int) -> Lease:
    return lease(f"l{number}", num_candidates=NUM_EACH, seed=number)


@pytest.mark.timeout(240)
async def test_a_killed_room_loses_no_lease_and_pays_little_twice(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    await BusRuns(bus).create(replace(run_spec("r1"), spending=BUDGET))
    async with objects(settings, tmp_path) as artifacts:
        await fill_pool(artifacts, PICTURES)
    own = settings.model_copy(update={"max_deliver_retryable": 1000})
    (tmp_path / "llm.key").write_text(KEY + "\n")
    models_file, log = tmp_path / "models.toml", tmp_path / "room.log"
    in_flight_at_death = 0
    with ScriptedLlm(Sighted(), delay_s=0.15, api_key=KEY) as llm:
        models_file.write_text(models_toml(llm.url, embed=None, edit_image=None, api_key_file=Path("llm.key")))
        for number in range(NUM_LEASES):
            await request(bus, lease_number(number))
        for num_requests in KILL_AFTER:
            with child(own, models_file, log) as process:
                num_before = len(llm.requests)

                async def is_at_work(num_wanted: int = num_before + num_requests) -> bool:
                    return len(llm.requests) >= num_wanted or process.poll() is not None

                await eventually(is_at_work, 40)
                assert process.poll() is None, log.read_text()
                process.kill()
                process.wait()
                in_flight_at_death += llm.num_in_flight
        with child(own, models_file, log):
            events = [event for event in await said(bus, "r1", 2 * NUM_LEASES, 60.0) if isinstance(event, CandidatesGenerated)]
        # A process that starts asks which models there are, with no body: that costs nothing.
        bodies, spent = [body for body in llm.bodies if body], await read_spending(await bus.bucket("spiral_spending"), "r1")

    expected = await undisturbed(bus, settings, tmp_path / "undisturbed")
    assert Counter(event.lease.lease_id for event in events) == {f"l{number}": 1 for number in range(NUM_LEASES)}
    async with objects(settings, tmp_path) as artifacts:
        for event in events:
            candidates = read_candidates(await artifacts.read_bytes(event.candidates), "candidates")
            assert [candidate.candidate_id for candidate in candidates] == expected[event.lease.lease_id]
            assert len(candidates) == event.num_candidates >= NUM_EACH - 1
            assert all(is_true(candidate) for candidate in candidates)
            assert await artifacts.find(candidates_name("r1", 1, event.lease.lease_id)) is not None
    assert await list_dead(bus) == []

    # Paid twice is only what was under way when a process died; its reservation stays counted, so the books hold as much as was asked.
    repeated = len(bodies) - len({hashlib.sha256(body).hexdigest() for body in bodies})
    print(f"{len(bodies)} requests, {repeated} of them again; {in_flight_at_death} were under way when a process died")
    assert repeated <= in_flight_at_death + _UNWRITTEN * len(KILL_AFTER)
    counted = sum(spend.num_calls for spend in spent)
    assert len(bodies) <= counted <= BUDGET.max_calls
    assert sum(spend.cost_usd for spend in spent) <= BUDGET.max_cost_usd

    everything = b"".join(bodies) + log.read_bytes()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "objects").rglob("*") if path.is_file())
    for secret in (KEY, ENVIRONMENT_CANARY):
        assert secret.encode() not in everything
        assert secret.encode() not in stored
