"""What `spiral run` accepts."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from services.cli.overrides import apply_overrides
from services.cli.run_settings import (
    RANGES,
    SINCE_V0_2_0,
    ProbeCounts,
    RunSettings,
    check_sections,
    directory_digest,
    read_fixed_weights,
    settings_digest,
)
from shared.domain import Cell, CellWeight, ImageCategory, KindShare, QuestionType, RoleLimit, Strategy
from shared.errors import BadConfiguration
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, SpendingSpec, TrainingSpec
from tests.contract_versions import RELEASES, released

SECTIONS: dict[str, Any] = {
    "evaluation": EvaluationSpec(),
    "planning": PlanningSpec(),
    "quality": QualitySpec(),
    "training": TrainingSpec(),
    "spending": SpendingSpec(),
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


WRONG_LISTS = (
    *("planning.kind_shares=agentic", "planning.kind_shares=agentic:x", "planning.kind_shares=a:nan", "planning.fixed_weights=1"),
    *("spending.role_limits=ask", "spending.role_limits=ask:calls=x", "spending.role_limits=ask:euro=1", "spending.max_cost_usd=inf"),
    *("spending.role_limits=ask:calls", "spending.role_limits=ask:calls=1:calls=2"),
)


def test_fields_of_several_values_are_lists() -> None:
    changed = apply_overrides(
        SECTIONS,
        [
            "planning.kind_shares=agentic:0.3, other:0.1",
            "quality.allowed_licences=CC0*, CC-BY-4.0",
            "spending.role_limits=ask:calls=100:usd=2.5,verify:tokens=1000000",
            "spending.max_calls=50",
        ],
    )
    check_sections(changed)
    assert changed["planning"].kind_shares == (KindShare("agentic", 0.3), KindShare("other", 0.1))
    assert changed["quality"].allowed_licences == ("CC0*", "CC-BY-4.0")
    assert changed["spending"] == SpendingSpec(
        max_calls=50, role_limits=(RoleLimit("ask", max_calls=100, max_cost_usd=2.5), RoleLimit("verify", max_tokens=1_000_000))
    )
    assert apply_overrides(changed, ["quality.allowed_licences="])["quality"].allowed_licences == ()


@pytest.mark.parametrize(
    "override", ["training.sft_epochs=two", "training.epochs=2", "sft_epochs=2", "planning.floor_share=nan", *WRONG_LISTS]
)
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
        ("planning.kind_shares=a:0.6,b:0.5", "more than 1"),
        ("planning.kind_shares=a:0.1,a:0.1", "twice"),
        ("planning.kind_shares=a b:0.1", "no kind"),
        ("planning.kind_shares=a:-0.1", "must lie in"),
        ("planning.annotate_share=2", "annotate_share"),
        ("quality.num_blind_solvers=1", "num_blind_solvers"),
        ("quality.allowed_licences=CC*BY", "ending"),
        ("quality.allowed_licences=CC0,,MIT", "'' is none"),
        ("spending.role_limits=painter:calls=1", "no role"),
        ("spending.role_limits=ask:calls=1,ask:usd=1", "twice"),
        ("spending.role_limits=ask:usd=-1", "negative"),
        ("spending.max_calls=-1", "max_calls"),
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


def test_run_of_v0_2_0_keeps_its_id_and_a_new_setting_makes_another() -> None:
    before = "028d2ecb7e38eb929b72bc13f8e026c0b6bb2de20a93461255bec79e80154c3a"
    assert settings_digest(settings(), model_digest="m", probes_digest="p") == before
    planning = PlanningSpec(num_samples=100, max_candidates=300)
    planned = settings(seed=7, planning=planning, quality=QualitySpec(num_rollouts=4))
    digest = settings_digest(planned, model_digest="m", probes_digest="p")
    assert digest == "863843811e08c2a9cb7937def8b6c1c5da85271576aa5f04621984cddf979aee"
    overrides = ["planning.kind_shares=a:0.1", "quality.audit_per_cell=6", "spending.max_calls=1", "planning.annotate_share=0.1"]
    digests = {
        settings_digest(settings(**apply_overrides(SECTIONS, [override])), model_digest="m", probes_digest="p") for override in overrides
    }
    assert len(digests | {before}) == len(overrides) + 1


def test_every_field_that_v0_2_0_did_not_know_is_listed() -> None:
    known = released(next(image for image in RELEASES if image.stem == "v0.2.0"))
    younger = {
        f"{section}.{field.name}"
        for section, spec in SECTIONS.items()
        for field in dataclasses.fields(spec)
        if type(spec).__name__ not in known.names or field.name not in known.message(type(spec).__name__).DESCRIPTOR.fields_by_name
    }
    assert younger == SINCE_V0_2_0
