"""A new version of a generator takes over from the old one under full load, and nobody downstream notices."""

import json
from dataclasses import replace
from pathlib import Path

from services.generators.rendered.candidates import KIND, VERSION
from shared.catalogue import Room
from shared.domain import ClosingReason
from shared.events import PlanClosed
from shared.publisher import publish_event
from shared.tables import read_samples
from tests.arrivals import gaps, read_arrivals, read_leases
from tests.examples import CAUSE, model
from tests.rooms import settled, until
from tests.swap import NEXT_VERSION, PATIENCE_S, ROOT, RUN_ID, Feeder, arrived, idle_stack, next_version, sealed, spiral, swapped

LEASE_SIZE = 16


async def test_version_2_replaces_version_1_under_full_load_and_every_lease_counts_once(tmp_path: Path) -> None:
    state_dir, source = tmp_path / "state", next_version(tmp_path / "next")
    async with (
        idle_stack(state_dir, f"generators.{KIND}", "quality") as (stack, session),
        Feeder(session, lease_size=LEASE_SIZE) as feeder,
        swapped(session, state_dir, source) as times,
    ):
        await arrived(session, 10 * LEASE_SIZE, since_ns=times.ended_ns)
        await feeder.finish()
        assert "has left after" in times.drain_output
        assert [entry.generator.version for entry in await session.generators.living()] == [NEXT_VERSION]
        await until(lambda: [room.name for room in stack.info.rooms if room.has_left] == [f"generators.{KIND}"])

        await settled(session.bus, PATIENCE_S)
        lease_ids = {lease.lease_id for lease in feeder.leases}
        leases = await read_leases(session.bus, RUN_ID)
        assert leases.answered.keys() == leases.reviewed.keys() == lease_ids
        assert {*leases.answered.values(), *leases.reviewed.values()} == {1}
        arrivals = await read_arrivals(session.bus, RUN_ID)
        assert gaps(arrivals, begin_ns=times.began_ns, end_ns=times.ended_ns).num > 0

        closed = PlanClosed(RUN_ID, 1, ClosingReason.QUOTAS_MET, tuple(sorted(lease_ids)), (), model(RUN_ID), 0.0)
        await publish_event(session.bus, Room.PLANNER, replace(CAUSE, event_id="closed"), closed)
        manifest = await session.artifacts.manifest((await sealed(session)).dataset)
        (file,) = [ref for path, ref in manifest.files.items() if path.endswith(".parquet")]
        samples = read_samples(await session.artifacts.read_bytes(file), "samples")
        _, listing = await spiral(ROOT, "generators", "--json", "--state-dir", str(state_dir))
        _, status = await spiral(ROOT, "status", "--json", "--state-dir", str(state_dir))

    made = {version: sum(one.num_candidates for one in arrivals if one.generator.version == version) for version in (VERSION, NEXT_VERSION)}
    assert min(made.values()) > 0
    assert {json.loads(sample.provenance)["generator"]["version"] for sample in samples} == made.keys()
    (kind,) = json.loads(listing)["kinds"]
    assert (kind["state"], kind["num_open_leases"]) == ("serving", 0)
    listed = {version["version"]: version for version in kind["versions"]}
    assert {name: version["num_candidates"] for name, version in listed.items()} == made
    assert {name: version["state"] for name, version in listed.items()} == {VERSION: "gone", NEXT_VERSION: "serving"}
    assert sum(version["num_accepted"] for version in listed.values()) == len(samples)
    assert json.loads(status)["left"] == [f"generators.{KIND}"]
