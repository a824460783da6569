"""The README's probe file is one that `spiral run` takes."""

import json
import re
from pathlib import Path

from PIL import Image

from services.cli.preparation import check_run
from services.cli.probe_file import read_probe_file
from services.cli.run_settings import ProbeCounts, RunSettings
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, TrainingSpec

README = Path(__file__).parents[3] / "README.md"


def test_the_example_is_read_as_it_stands(tmp_path: Path, checkpoint: Path) -> None:
    block = re.search(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    (tmp_path / "probes.jsonl").write_text(block[1])
    for number, line in enumerate(block[1].splitlines()):
        path = tmp_path / json.loads(line)["image"]
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (40 * number, 0, 0)).save(path)
    probes = read_probe_file(tmp_path / "probes.jsonl")
    assert [str(probe.cell) for probe in probes] == ["chart_graph/text", "mixed/numeric", "medical/multiple_choice"]
    assert [probe.answer for probe in probes] == ["tea", "42", "B"]

    sections = (EvaluationSpec(), PlanningSpec(), QualitySpec(), TrainingSpec())
    rows = [
        {**json.loads(line), "question": f"{json.loads(line)['question']} {again}"} for line in block[1].splitlines() for again in range(2)
    ]
    for number, row in enumerate(rows):
        row["image"] = f"{number}.png"
        Image.new("RGB", (64, 64), (number, 9, 9)).save(tmp_path / row["image"])
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    checked = check_run(RunSettings(checkpoint, tmp_path / "more.jsonl", 0, 3, ProbeCounts(), *sections), None)
    assert sorted(probe.split for probe in checked.probes) == ["core"] * 3 + ["exam"] * 3
