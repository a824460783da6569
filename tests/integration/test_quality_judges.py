"""Labels that no scene proves, judged by models behind real HTTP: each planted fault by its own name, and no call more than needed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from services.quality.judge_prompts import asked, instructions
from services.quality.records import QUARANTINE_FILE, read_verdicts
from shared.domain import Candidate, Recipe, Spend, Verdict
from shared.domain import RejectionReason as Reason
from shared.errors import Retryable
from shared.events import CandidatesReviewed
from shared.llm.models_file import read_models_file
from shared.llm.opening import open_models
from shared.llm.roles import Role
from shared.llm.tuning import Tuning
from shared.run_spec import QualitySpec, SpendingSpec
from tests.integration.scripted_judges import ScriptedJudges, choice_in_case, in_case
from tests.scripted_llm import Fault, ScriptedLlm, models_toml
from tests.unit.quality.reviewing import Desk, TableRates, all_names, desk
from tests.unit.quality.suspects import CHOICE, candidate, found, lease, name

IMPATIENT = Tuning(num_reasks=1, num_attempts=2, backoff_s=0.01, max_backoff_s=0.02, num_failures_to_open=1000, settle_wait_s=0.5)


@dataclass
class Court:
    """A desk of quality with its judges."""

    desk: Desk
    judges: ScriptedJudges
    server: ScriptedLlm

    async def verdicts(
        self, *candidates: Candidate, num_wanted: int = 100, recipe: Recipe = Recipe.TEACH, ordinal: int = 1
    ) -> list[Verdict]:
        self.judges.know(*(made for made in candidates if not made.scene))
        asked_for = lease(ordinal, num_wanted=num_wanted, recipe=recipe, cell=candidates[0].cell)
        return list((await self.desk.review(asked_for, candidates)).verdicts)

    async def reasons(self, *candidates: Candidate, num_wanted: int = 100, ordinal: int = 1) -> list[Reason | None]:
        return [verdict.reason for verdict in await self.verdicts(*candidates, num_wanted=num_wanted, ordinal=ordinal)]


@asynccontextmanager
async def court(
    directory: Path, *, spending: SpendingSpec | None = None, judges: tuple[str, ...] = ("judge-a", "judge-b")
) -> AsyncIterator[Court]:
    script = ScriptedJudges()
    with ScriptedLlm(script) as server:
        file = directory / "models.toml"
        file.write_text(models_toml(server.url, model="text", judges=judges))
        async with desk(directory, rates=TableRates()) as at:
            at.spec = replace(at.spec, spending=spending or SpendingSpec())

            async def limits(run_id: str) -> SpendingSpec:
                return at.spec.spending

            opened = open_models(read_models_file(file), bucket=at.bucket, artifacts=at.artifacts, limits=limits, tuning=IMPATIENT)
            async with opened as models:
                at.models = models
                at.quality = at.fresh()
                yield Court(at, script, server)
        assert not server.violations


async def test_a_sound_candidate_is_accepted_and_nobody_who_judges_sees_its_label(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        made = in_case("sound", 1)
        (verdict,) = await at.verdicts(made)
        assert verdict == Verdict(made.candidate_id, True, None, "agreed by judge-a, judge-b")
        assert sorted(at.judges.asked) == [
            ("BlindAnswer", "judge-a", "sound1"),
            ("BlindAnswer", "judge-b", "sound1"),
            ("CategoryAnswer", "text", "sound1"),
            ("TextOnlyAnswer", "text", "sound1"),
        ]
        for request in at.server.requests:
            assert request.texts == (asked(made.question),)
            assert request.images == (() if request.schema_name == "TextOnlyAnswer" else (made.image,))
            assert request.temperature == 0
        systems = {request.schema_name: request.system for request in at.server.requests}
        for schema, role in (("TextOnlyAnswer", Role.TEXT_ONLY), ("CategoryAnswer", Role.CATEGORIZE), ("BlindAnswer", Role.VERIFY)):
            assert systems[schema].startswith(instructions(role)[:200])


@pytest.mark.parametrize(
    ("case", "reason", "told", "num_calls"),
    [
        ("giveaway", Reason.NEEDS_NO_IMAGE, "text answers '2' without the image", 1),
        ("miscast", Reason.WRONG_CELL, "judged diagram, not geometric: dots on white", 2),
        ("collage", Reason.WRONG_CELL, "judged mixed", 2),
        ("contradicted", Reason.QUARANTINED, "the label is '2', but judge-a says '3', judge-b says '3'", 4),
        ("disputed", Reason.DISPUTED, "judge-b says '3'", 4),
        ("unsure", Reason.DISPUTED, "judge-b says that it can't tell", 4),
        ("refused", Reason.UNVERIFIABLE, "judge-b, asked as verify, gave no usable reply (refusal)", 0),
        ("garbage", Reason.UNVERIFIABLE, "gave no usable reply (schema)", 0),
        ("mute", Reason.UNVERIFIABLE, "asked as text_only", 0),
    ],
)
async def test_a_planted_fault_is_refused_by_its_name(tmp_path: Path, case: str, reason: Reason, told: str, num_calls: int) -> None:
    async with court(tmp_path) as at:
        (verdict,) = await at.verdicts(in_case(case, 1))
        assert verdict.reason is reason
        assert told in verdict.detail
        assert not num_calls or len(at.judges.asked) == num_calls


async def test_what_is_refused_before_costs_no_call(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        at.desk.spec = replace(at.desk.spec, quality=QualitySpec(allowed_licences=("CC-BY-*",), max_domain_share=0.00025))
        judged = [
            in_case("sound", 1, source={"domain": "a.test"}),
            in_case("sound", 2, source={"domain": "a.test"}),
            in_case("sound", 3, source={"licence": "CC-BY-NC-ND-4.0"}),
            in_case("sound", 4, source={"licence": "all rights reserved"}),
            in_case("sound", 5, provenance="{}"),
            in_case("sound", 6, answer="many"),
            in_case("sound", 1, candidate_id=name("copy")),
            in_case("sound", 7, question="How many red dots has jane.doe@gmail.com in case sound7?"),
            in_case("sound", 8, provenance=found(8).provenance.replace('"asker"', '"judge-b"')),
            candidate(9),
        ]
        assert await at.reasons(*judged) == [
            None,
            Reason.OVER_REPRESENTED,
            None,
            Reason.LICENCE,
            Reason.SCHEMA,
            Reason.SCHEMA,
            Reason.EXACT_DUPLICATE,
            Reason.UNSAFE,
            Reason.UNVERIFIABLE,
            None,
        ]
        assert len(at.judges.asked) == 2 * 4
        # The domain has its share in the whole iteration, and the next one begins anew.
        assert await at.reasons(in_case("sound", 20, source={"domain": "a.test"}), ordinal=2) == [Reason.OVER_REPRESENTED]
        assert len(at.judges.asked) == 2 * 4


async def test_choices_are_tried_in_two_orders_before_they_count_as_given_away(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        known, lucky, sound = choice_in_case("giveaway", 1), choice_in_case("letter", 2), choice_in_case("sound", 3)
        assert await at.reasons(known, lucky, sound) == [Reason.NEEDS_NO_IMAGE, None, None]
        orders = [
            request.texts for request in at.server.requests if request.schema_name == "TextOnlyAnswer" and "giveaway" in request.texts[0]
        ]
        assert len(orders) == len(set(orders)) == 2
        assert at.judges.cases("TextOnlyAnswer").count("sound3") == 1, "one wrong attempt is enough"
        shown = {request.texts for request in at.server.requests if request.schema_name == "BlindAnswer" and "sound" in request.texts[0]}
        assert shown == {(asked(sound.question, sound.choices),)}
        assert known.cell == CHOICE


async def test_only_as_many_are_judged_as_the_lease_wants(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        cases = ["disputed", "sound", "giveaway", "sound", "sound", "sound", "sound"]
        verdicts = await at.verdicts(*(in_case(case, number) for number, case in enumerate(cases)), num_wanted=2)
        assert [verdict.accepted for verdict in verdicts] == [False, True, False, True, False, False, False]
        assert [verdict.reason for verdict in verdicts[4:]] == [Reason.OVER_QUOTA] * 3
        assert sorted(at.judges.cases("TextOnlyAnswer")) == ["disputed0", "giveaway2", "sound1", "sound3"]
        assert sorted(set(at.judges.cases("BlindAnswer"))) == ["disputed0", "sound1", "sound3"]


async def test_an_endpoint_that_is_away_delays_the_review_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        made = [in_case("sound", 1)]
        at.judges.know(*made)
        event = await at.desk.generated(lease(), made)
        at.judges.fault = Fault.failed(503)
        with pytest.raises(Retryable):
            await at.desk.heard(event)
        assert not await all_names(at.desk.artifacts)
        at.judges.fault = None
        at.judges.asked.clear()
        (reviewed,) = await at.desk.heard(event)
        assert isinstance(reviewed, CandidatesReviewed) and reviewed.verdicts[0].accepted
        assert len(at.judges.asked) == 4


async def test_what_an_endpoint_will_never_take_is_unverifiable_and_the_plan_goes_on(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        at.judges.fault = Fault.failed(400, body="the image violates our policy")
        (verdict,) = await at.verdicts(in_case("sound", 1))
        assert verdict.reason is Reason.UNVERIFIABLE and "violates our policy" in verdict.detail


async def test_a_judge_that_its_endpoint_does_not_know_delays_the_review(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        made = [in_case("sound", 1)]
        at.judges.know(*made)
        event = await at.desk.generated(lease(), made)
        at.judges.fault = Fault.failed(404, body="no such model")
        with pytest.raises(Retryable, match="does not know the model"):
            await at.desk.heard(event)
        at.judges.fault = None
        (reviewed,) = await at.desk.heard(event)
        assert isinstance(reviewed, CandidatesReviewed) and reviewed.verdicts[0].accepted


async def test_a_review_that_breaks_off_is_not_paid_again(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        made = [in_case("sound", 1), in_case("sound", 2)]
        at.judges.know(*made)
        event = await at.desk.generated(lease(recipe=Recipe.REINFORCE), made)
        at.desk.rates.is_away = True
        with pytest.raises(Retryable):
            await at.desk.heard(event)
        assert len(at.judges.asked) == 8
        at.desk.rates.is_away = False
        (reviewed,) = await at.desk.heard(event, quality=at.desk.fresh())
        assert isinstance(reviewed, CandidatesReviewed)
        assert [(verdict.accepted, verdict.pass_rate) for verdict in reviewed.verdicts] == [(True, 0.5)] * 2
        assert len(at.judges.asked) == 8


async def test_where_the_budget_is_spent_nothing_is_called_and_the_plan_goes_on(tmp_path: Path) -> None:
    async with court(tmp_path, spending=SpendingSpec(max_calls=6)) as at:
        verdicts = await at.verdicts(in_case("sound", 1), in_case("sound", 8), num_wanted=1)
        assert [verdict.reason for verdict in verdicts] == [None, Reason.OVER_QUOTA]
        (second,) = await at.verdicts(in_case("sound", 15), ordinal=2)
        assert second.reason is Reason.UNVERIFIABLE and "budget" in second.detail
        assert len(at.judges.asked) <= 6


async def test_what_checking_cost_is_told_with_what_the_maker_spent(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        made = [in_case("sound", 1), in_case("sound", 8)]
        at.judges.know(*made)
        spent = (Spend("ask", 3, 900, 90, 0.5), Spend("verify", 1, 10, 1, 0.25))
        event = replace(await at.desk.generated(lease(), made), spent=spent)
        (reviewed,) = await at.desk.heard(event)
        assert isinstance(reviewed, CandidatesReviewed)
        by_role = {part.role: part for part in reviewed.spent}
        assert {role: part.num_calls for role, part in by_role.items()} == {"ask": 3, "categorize": 2, "text_only": 2, "verify": 5}
        assert by_role["ask"] == spent[0]
        assert by_role["verify"].cost_usd > 0.25 and by_role["text_only"].num_input_tokens > 0
        assert await at.desk.heard(event, quality=at.desk.fresh()) == [reviewed]
        assert (await at.desk.fresh().reconcile(at.desk.spec))[0][1] == [reviewed]


async def test_doubted_labels_are_kept_for_people(tmp_path: Path) -> None:
    async with court(tmp_path) as at:
        doubted, sound = in_case("contradicted", 1), in_case("sound", 2)
        at.judges.know(doubted, sound)
        reviewed = await at.desk.review(lease(), [doubted, sound])
        manifest = await at.desk.artifacts.manifest(reviewed.review)
        directory = await at.desk.artifacts.fetch_directory(reviewed.review)
        (row,) = pq.read_table(directory / QUARANTINE_FILE).to_pylist()
        assert row["candidate_id"] == doubted.candidate_id and row["image"] == doubted.image
        assert row["answers"] == [{"by": "judge-a", "answered": "3"}, {"by": "judge-b", "answered": "3"}]
        assert manifest.metadata["rejected"] == {"quarantined": 1}
        assert read_verdicts((directory / "verdicts.parquet").read_bytes()) == list(reviewed.verdicts)
        ready = await at.desk.seal([reviewed.lease.lease_id])
        card = ((await at.desk.artifacts.fetch_directory(ready.dataset)) / "README.md").read_text()
        assert "1 labels are agreed, not proved" in card and "labels are proved" not in card
        assert "Kept aside for people" in card and "| site2.test | CC-BY-4.0 | 1 |" in card
