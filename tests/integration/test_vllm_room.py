"""An evaluator room whose policy answers on a server: what the server's failures do to an evaluation."""

import asyncio
from dataclasses import replace
from pathlib import Path

from services.evaluator.service import build
from services.evaluator.settings import EvaluatorSettings
from shared.artifacts import Artifacts
from shared.bus import Bus
from shared.catalogue import Room
from shared.domain import ModelVersion
from shared.events import EvaluationCompleted, ModelUpdated
from shared.publisher import publish_event
from shared.run_spec import EvaluationSpec
from shared.runs import BusRuns
from shared.runtime import run
from shared.settings import RoomSettings
from shared.store import open_store
from shared.tables import read_answers, write_probes
from tests.examples import CAUSE, run_spec
from tests.rooms import said
from tests.unit.evaluator.asking import png, probe
from tests.unit.evaluator.scripted_vllm import Fault, scripted_vllm
from tests.unit.evaluator.vllm_policies import write_weights


async def test_a_servers_failures_delay_an_evaluation_and_are_never_wrong_answers(bus: Bus, settings: RoomSettings, tmp_path: Path) -> None:
    base, trained = write_weights(tmp_path / "base", 1), write_weights(tmp_path / "trained", 2)
    with scripted_vllm(base) as script:
        own = EvaluatorSettings(
            **settings.model_dump(exclude_unset=True),
            policy_server_url=script.url,
            policy_server_dir=tmp_path / "shared",
            evaluation_chunk_size=2,
        )
        script.faults = {"in p1?": [Fault(status=401)], "in p3?": [Fault(finish_reason="abort")], "in p5?": [Fault(status=400)]}
        script.failing_routes["/collective_rpc"] = [500]
        async with open_store(own) as store:
            artifacts = Artifacts(store, cache_dir=own.work_dir / "cache", producer="cli")
            model = ModelVersion("r1/1", 1, await artifacts.commit_directory("runs/r1/1/model", trained, cause=CAUSE))
            spec = replace(
                run_spec("r1"),
                probes=await artifacts.put_bytes(write_probes([probe(f"p{number}", image=png(number)) for number in range(6)])),
                exam=await artifacts.put_bytes(write_probes([probe("e1", "exam")])),
                evaluation=EvaluationSpec(num_samples_per_probe=2, max_new_tokens=3, batch_size=16),
            )
            await BusRuns(bus).create(spec)
            await publish_event(bus, Room.CLI, CAUSE, ModelUpdated("r1", 1, model))
            stop = asyncio.Event()
            room = asyncio.create_task(run(Room.EVALUATOR, own, build, stop))
            try:
                _, completed = await said(bus, "r1", 2, timeout_s=30)
                assert isinstance(completed, EvaluationCompleted)
                rows = read_answers(await artifacts.read_bytes(completed.answers), "answers")
            finally:
                stop.set()
                assert await asyncio.wait_for(room, 30) == 0
    assert {row.probe_id for row in rows if row.outcome == "failed"} == {"p5"}
    assert (completed.num_probes, completed.num_failed, completed.num_answers) == (6, 1, 15)
    assert script.violations == []
    assert not any(script.faults.values())
