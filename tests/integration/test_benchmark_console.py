"""`spiral benchmark` as a user runs it, and quality that keeps samples apart from what was registered, without a restart."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.bus import Bus
from shared.domain import RejectionReason as Reason
from shared.settings import RoomSettings
from tests.contract.s3_endpoint import KEY, SECRET, free_port, serve_s3
from tests.integration.quality_stage import CELLS, QualityStage, a_lease, dots, quality_stage
from tests.unit.quality.suspects import drawing, encoded

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def stage(bus: Bus, settings: RoomSettings, tmp_path: Path) -> AsyncIterator[QualityStage]:
    async with quality_stage(bus, settings, tmp_path) as opened:
        yield opened


async def benchmark(stage: QualityStage, *arguments: str | Path) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "services.cli", "benchmark", *map(str, arguments), "--store-url", stage.settings.store_url]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


def file_of(path: Path, *numbers: int) -> Path:
    rows: list[dict[str, Any]] = []
    for number in numbers:
        (path.parent / f"{number}.png").write_bytes(encoded(drawing(number)))
        rows.append({"image": f"{number}.png", "question": "How many red dots are there?", "id": f"item-{number}"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def test_what_is_registered_is_kept_out_from_the_next_lease_on(stage: QualityStage, tmp_path: Path) -> None:
    async with stage.rooms():
        await stage.generate_dots(a_lease(1), [1])
        assert (await stage.reviewed(1))[a_lease(1).lease_id].verdicts[0].accepted
        code, out, err = await benchmark(stage, "add", "dots", file_of(tmp_path / "dots.jsonl", 1, 2, 3), "--json")
        assert code == 0, err
        assert json.loads(out)["benchmarks"][0]["num_items"] == 3
        await stage.generate_dots(a_lease(1, CELLS[1]), [2, 3, 4])
        verdicts = (await stage.reviewed(2))[a_lease(1, CELLS[1]).lease_id].verdicts
        assert [verdict.reason for verdict in verdicts] == [Reason.BENCHMARK_LEAK] * 2 + [None]
        assert "item item-2 of benchmark dots" in verdicts[0].detail
        code, out, _ = await benchmark(stage, "list")
        assert code == 0 and "dots" in out and "dots.jsonl" in out
        assert (await benchmark(stage, "remove", "dots"))[0] == 0
        await stage.generate_dots(a_lease(1, CELLS[2]), [2])
        assert (await stage.reviewed(3))[a_lease(1, CELLS[2]).lease_id].verdicts[0].accepted
    assert dots(1, a_lease(1)).cell == CELLS[0]


async def test_the_store_is_named_without_its_credentials(tmp_path: Path) -> None:
    (tmp_path / "s3" / "spiral").mkdir(parents=True)
    port = free_port()
    with serve_s3(tmp_path / "s3", port):
        command = [sys.executable, "-m", "services.cli", "benchmark", "add", "dots", str(file_of(tmp_path / "dots.jsonl", 1))]
        url = f"s3://{KEY}:{SECRET}@127.0.0.1:{port}/spiral"
        process = await asyncio.create_subprocess_exec(
            *command, "--store-url", url, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, out.decode()
    assert f"benchmark dots is registered in s3://127.0.0.1:{port}/spiral" in out.decode()
    assert KEY not in out.decode() and SECRET not in out.decode()


async def test_wrong_commands_say_what_is_wrong(stage: QualityStage, tmp_path: Path) -> None:
    code, _, err = await benchmark(stage, "add", "No Name", file_of(tmp_path / "b.jsonl", 1))
    assert code == 2 and "lower-case" in err
    (tmp_path / "c.jsonl").write_text('{"image": "away.png"}\n')
    code, _, err = await benchmark(stage, "add", "c", tmp_path / "c.jsonl")
    assert code == 1 and "row 1, column 'image'" in err
    code, _, err = await benchmark(stage, "remove", "c")
    assert code == 1 and "no benchmark c" in err
    code, out, _ = await benchmark(stage, "list", "--json")
    assert code == 0 and json.loads(out)["benchmarks"] == []
    code, out, _ = await benchmark(stage, "list")
    assert code == 0 and stage.settings.store_url in "".join(out.splitlines()), "which store it is"
