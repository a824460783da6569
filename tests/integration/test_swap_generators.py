"""A new version of a generator takes over from the old one in the middle of a plan, and nobody downstream notices."""

import json
from pathlib import Path

from services.generators.rendered.candidates import KIND, VERSION
from shared.tables import read_samples
from tests.arrivals import gaps, read_arrivals, read_leases
from tests.rooms import until
from tests.swap import NEXT_VERSION, ROOT, RUN_ID, arrived, loaded_stack, next_version, sealed, spiral, swapped

NUM_SAMPLES = 2400


async def test_version_2_replaces_version_1_in_the_middle_of_a_plan_and_every_lease_counts_once(tmp_path: Path) -> None:
    state_dir, source = tmp_path / "state", next_version(tmp_path / "next")
    async with loaded_stack(state_dir, num_samples=NUM_SAMPLES, lease_size=16) as (stack, session):
        await arrived(session, NUM_SAMPLES // 8)
        async with swapped(session, state_dir, source) as times:
            assert f"rendered {VERSION}" in times.drain_output
            assert "has left after" in times.drain_output
            assert [entry.generator.version for entry in await session.generators.living()] == [NEXT_VERSION]
            await until(lambda: [room.name for room in stack.info.rooms if room.has_left] == [f"generators.{KIND}"])
            dataset = await sealed(session)
            _, listing = await spiral(ROOT, "generators", "--json", "--state-dir", str(state_dir))
            _, status = await spiral(ROOT, "status", "--json", "--state-dir", str(state_dir))

            leases = await read_leases(session.bus, RUN_ID)
            assert leases.issued.keys() == leases.answered.keys() == leases.reviewed.keys()
            assert {*leases.issued.values(), *leases.answered.values(), *leases.reviewed.values()} == {1}
            arrivals = await read_arrivals(session.bus, RUN_ID)
            assert gaps(arrivals, begin_ns=times.began_ns, end_ns=times.ended_ns).num > 0
            manifest = await session.artifacts.manifest(dataset.dataset)
            (file,) = [ref for path, ref in manifest.files.items() if path.endswith(".parquet")]
            samples = read_samples(await session.artifacts.read_bytes(file), "samples")

    made = {version: sum(one.num_candidates for one in arrivals if one.generator.version == version) for version in (VERSION, NEXT_VERSION)}
    assert len(samples) == NUM_SAMPLES
    assert {json.loads(sample.provenance)["generator"]["version"] for sample in samples} == {VERSION, NEXT_VERSION}
    (kind,) = json.loads(listing)["kinds"]
    assert (kind["state"], kind["num_open_leases"]) == ("serving", 0)
    listed = {version["version"]: version for version in kind["versions"]}
    assert {name: version["num_candidates"] for name, version in listed.items()} == made
    assert {name: version["state"] for name, version in listed.items()} == {VERSION: "gone", NEXT_VERSION: "serving"}
    assert sum(version["num_accepted"] for version in listed.values()) == NUM_SAMPLES
    assert json.loads(status)["left"] == [f"generators.{KIND}"]
