"""What `spiral run` accepts."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from services.cli.run_settings import (
    RANGES,
    ProbeCounts,
    RunSettings,
    apply_overrides,
    check_sections,
    directory_digest,
    read_fixed_weights,
    settings_digest,
)
from shared.domain import Cell, CellWeight, ImageCategory, QuestionType, Strategy
from shared.errors import BadConfiguration
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, TrainingSpec

SECTIONS: dict[str, Any] = {
    "evaluation": EvaluationSpec(),
    "planning": PlanningSpec(),
    "quality": QualitySpec(),
    "training": TrainingSpec(),
}


def settings(**changes: Any) -> RunSettings:
    return dataclasses.replace(RunSettings(Path("m"), None, 0, 3, ProbeCounts(), **SECTIONS), **changes)


def test_every_number_of_the_specification_has_a_range_and_the_defaults_lie_in_theirs() -> None:
    numbers = {
        f"{section}.{field.name}"
        for section, spec in SECTIONS.items()
        for field in dataclasses.fields(spec)
        if isinstance(getattr(spec, field.name), int | float)
    }
    assert numbers == set(RANGES)
    check_sections(SECTIONS)


def test_overrides_change_one_field_each() -> None:
    changed = apply_overrides(SECTIONS, ["training.sft_epochs=2", "planning.strategy=uniform", "quality.pass_rate_low=0.25"])
    assert changed["training"].sft_epochs == 2
    assert changed["planning"].strategy is Strategy.UNIFORM
    assert changed["quality"].pass_rate_low == 0.25
    assert changed["evaluation"] == SECTIONS["evaluation"]


@pytest.mark.parametrize("override", ["training.sft_epochs=two", "training.epochs=2", "sft_epochs=2", "planning.floor_share=nan"])
def test_an_override_that_means_nothing_is_refused(override: str) -> None:
    with pytest.raises(BadConfiguration, match="--set"):
        apply_overrides(SECTIONS, [override])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("planning.max_candidates=0", "max_candidates is 0"),
        (f"planning.num_samples={PlanningSpec().max_candidates + 1}", "raise --max-candidates"),
        ("planning.floor_share=1.5", "floor_share"),
        ("planning.strategy=fixed", "--fixed-weights"),
        ("training.recipe=dpo", "by_cell, sft, grpo"),
        ("training.grpo_batch_size=100", "multiple"),
        ("quality.pass_rate_low=0.9", "above"),
    ],
)
def test_settings_that_make_no_sense_together(override: str, words: str) -> None:
    with pytest.raises(BadConfiguration, match=words):
        check_sections(apply_overrides(SECTIONS, [override]))


def test_fixed_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    path.write_text('{"map/text": 1, "chart_graph/numeric": 2.5}')
    assert [(weight.cell, weight.weight) for weight in read_fixed_weights(path)] == [
        (Cell(ImageCategory.CHART_GRAPH, QuestionType.NUMERIC), 2.5),
        (Cell(ImageCategory.MAP, QuestionType.TEXT), 1.0),
    ]


@pytest.mark.parametrize("content", ["[]", '{"maps/text": 1}', '{"map": 1}', '{"map/text": -1}', '{"map/text": NaN}', '{"map/text": 0}'])
def test_weights_that_are_no_weights(tmp_path: Path, content: str) -> None:
    path = tmp_path / "weights.json"
    path.write_text(content)
    with pytest.raises(BadConfiguration, match="fixed-weights"):
        read_fixed_weights(path)


def test_the_digest_follows_settings_and_inputs(checkpoint: Path) -> None:
    model = directory_digest(checkpoint)
    digest = settings_digest(settings(), model_digest=model, probes_digest="p")
    assert digest == settings_digest(settings(model=Path("elsewhere")), model_digest=model, probes_digest="p")
    assert digest != settings_digest(settings(seed=1), model_digest=model, probes_digest="p")
    weights = (CellWeight(Cell(ImageCategory.MAP, QuestionType.TEXT), 1.0),)
    fixed = settings(planning=PlanningSpec(strategy=Strategy.FIXED, fixed_weights=weights))
    assert digest != settings_digest(fixed, model_digest=model, probes_digest="p")
    (checkpoint / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    assert directory_digest(checkpoint) != model
