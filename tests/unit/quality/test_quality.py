"""Reviews and datasets in the store: complete or absent, the same however often and whenever they are made."""

import io
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.quality.contract import check_quality
from services.quality.datasets import CARD_FILE
from services.quality.records import SAMPLES_FILE, VERDICTS_FILE, read_verdicts
from shared.domain import Recipe, Strategy
from shared.domain import RejectionReason as Reason
from shared.errors import NotFound, Rejected, Retryable
from shared.events import CandidatesReviewed, Event, MixturePlanned
from shared.run_spec import QualitySpec
from shared.tables import read_candidates, read_samples, write_candidates, write_probes
from tests.examples import artifact, model
from tests.unit.quality.reviewing import TableRates, all_names, as_probe, delivery, desk, plan_closed
from tests.unit.quality.suspects import CHOICE, candidate, drawing, encoded, lease, name


async def test_a_review_holds_verdicts_and_accepted_samples(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        candidates = [candidate(1), candidate(2, answer="99"), candidate(3), candidate(4)]
        reviewed = await at.review(lease(num_wanted=2), candidates)
        assert [verdict.reason for verdict in reviewed.verdicts] == [None, Reason.WRONG_ANSWER, None, Reason.OVER_QUOTA]
        assert (reviewed.lease, reviewed.iteration) == (lease(num_wanted=2), 1)
        manifest = await at.artifacts.manifest(reviewed.review)
        assert manifest.name == f"runs/r1/1/reviews/{lease().lease_id}"
        samples = read_samples(await at.artifacts.read_bytes(manifest.files[SAMPLES_FILE]), "samples")
        assert [(sample.sample_id, sample.question, sample.image) for sample in samples] == [
            (made.candidate_id, made.question, made.image) for made in (candidate(1), candidate(3))
        ]
        assert read_verdicts(await at.artifacts.read_bytes(manifest.files[VERDICTS_FILE])) == list(reviewed.verdicts)
        assert manifest.metadata["rejected"] == {"over_quota": 1, "wrong_answer": 1}


async def test_the_same_lease_reviewed_in_another_place_has_the_same_review(tmp_path: Path) -> None:
    reviews = []
    for place in ("a", "b"):
        async with desk(tmp_path / place, rates=TableRates(lambda each: int(each, 16) % 9)) as at:
            asked_for = lease(recipe=Recipe.REINFORCE, num_wanted=6)
            reviews.append(await at.review(asked_for, [candidate(number) for number in range(30)]))
            asked = at.rates.asked
            event = await at.generated(asked_for, [candidate(number) for number in range(30)])
            assert await at.heard(event, asked_for.lease_id, at.fresh()) == [reviews[-1]], "delivered again, it is answered alike"
            assert at.rates.asked == asked
    assert reviews[0] == reviews[1]
    assert sum(verdict.accepted for verdict in reviews[0].verdicts) == 6


async def test_copies_are_found_across_leases_iterations_and_in_probes_and_exam(tmp_path: Path) -> None:
    def jpeg(number: int) -> dict[str, object]:
        return {"candidate_id": name(f"jpeg {number}"), "image": encoded(drawing(number), "JPEG", quality=80)}

    probes, exam = [as_probe(candidate(50))], [as_probe(candidate(51), "exam")]
    async with desk(tmp_path, probes=probes, exam=exam) as at:
        first = await at.review(lease(1), [candidate(1), candidate(2)])
        copies = [candidate(1), candidate(2, **jpeg(2)), candidate(3), candidate(50, **jpeg(50)), candidate(51, **jpeg(51))]
        second = await at.review(lease(2), copies)
        assert [verdict.reason for verdict in second.verdicts] == [
            Reason.EXACT_DUPLICATE,
            Reason.NEAR_DUPLICATE,
            None,
            Reason.PROBE_LEAK,
            Reason.PROBE_LEAK,
        ]
        assert as_probe(candidate(51)).probe_id not in second.verdicts[4].detail
        await at.seal([first.lease.lease_id, second.lease.lease_id])
        at.quality = at.fresh()
        later = await at.review(lease(1, iteration=2), [candidate(3, **jpeg(3)), candidate(4)], iteration=2)
        assert [verdict.reason for verdict in later.verdicts] == [Reason.NEAR_DUPLICATE, None]


async def test_what_the_policy_found_too_hard_may_not_try_its_luck_again_but_what_was_over_quota_may(tmp_path: Path) -> None:
    rates = TableRates(lambda each: 0 if each == candidate(1).candidate_id else 4)
    async with desk(tmp_path, rates=rates) as at:
        asked_for = lease(1, recipe=Recipe.REINFORCE, num_wanted=1)
        first = await at.review(asked_for, [candidate(1), candidate(2), candidate(3)])
        assert [verdict.reason for verdict in first.verdicts] == [Reason.TOO_HARD, None, Reason.OVER_QUOTA]
        again = replace(asked_for, lease_id=lease(2).lease_id, ordinal=2)
        second = await at.review(again, [candidate(1), candidate(3)])
        assert [verdict.reason for verdict in second.verdicts] == [Reason.EXACT_DUPLICATE, None]


async def test_a_dataset_holds_the_accepted_samples_in_the_plans_order_and_names_those_before_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.review(lease(1), [candidate(1), candidate(2, scene="")])
        await at.review(lease(2), [candidate(3)])
        ready = await at.seal([lease(2).lease_id, lease(1).lease_id])
        assert (ready.num_samples, ready.replay_datasets, ready.replay_share) == (2, (), 0.2)
        directory = await at.artifacts.fetch_directory(ready.dataset)
        assert sorted(path.name for path in directory.iterdir()) == [CARD_FILE, SAMPLES_FILE]
        samples = read_samples((directory / SAMPLES_FILE).read_bytes(), "samples")
        assert [sample.sample_id for sample in samples] == [candidate(3).candidate_id, candidate(1).candidate_id]
        assert "CC0-1.0 generated" in (directory / CARD_FILE).read_text()
        await at.review(lease(1, iteration=2), [candidate(4)], iteration=2)
        following = await at.seal([lease(1, iteration=2).lease_id], iteration=2)
        assert following.replay_datasets == (ready.dataset,)
        assert await at.fresh().on_plan_closed(plan_closed([], 2), delivery("redelivered")) == [following]


async def test_cells_that_are_held_back_are_handed_on_to_the_trainer(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.review(lease(1), [candidate(1)])
        closed = replace(plan_closed([lease(1).lease_id]), held_back=(CHOICE,))
        (ready,) = await at.quality.on_plan_closed(closed, delivery("closed"))
        assert ready.held_back == (CHOICE,)
        assert await at.fresh().on_plan_closed(closed, delivery("redelivered")) == [ready]


async def test_a_plan_without_a_sample_or_with_an_unknown_review_is_not_sealed(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.review(lease(1), [candidate(1, scene="")])
        with pytest.raises(Rejected, match="no accepted sample"):
            await at.seal([lease(1).lease_id])
        with pytest.raises(NotFound, match=r"geometric\.numeric\.2 does not stand"):
            await at.seal([lease(2).lease_id])
        assert not [each for each in await all_names(at.artifacts) if each.endswith("dataset")]


async def test_while_the_evaluator_is_away_nothing_is_published_and_later_all_is(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.rates.is_away = True
        with pytest.raises(Retryable):
            await at.review(lease(recipe=Recipe.REINFORCE), [candidate(1)])
        assert not await all_names(at.artifacts)
        at.rates.is_away = False
        assert (await at.review(lease(recipe=Recipe.REINFORCE), [candidate(1)])).verdicts[0].accepted


async def test_a_store_that_fails_at_any_write_leaves_no_half_review(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        event = await at.generated(lease(), [candidate(1), candidate(2)])
        num_failures = 0
        while not await all_names(at.artifacts):
            # Each attempt brings one more write through, and what stands already need not be written again.
            at.store.num_left = min(1, num_failures)
            try:
                (reviewed,) = await at.heard(event)
            except Retryable:
                num_failures += 1
        assert num_failures == 4
    async with desk(tmp_path / "calm") as calm:
        assert await calm.heard(await calm.generated(lease(), [candidate(1), candidate(2)])) == [reviewed]


async def test_a_restart_says_again_what_stands(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        reviewed = await at.review(lease(1), [candidate(1)])
        assert await at.fresh().reconcile(at.spec) == [(delivery(lease(1).lease_id).cause, [reviewed])]
        ready = await at.seal([lease(1).lease_id])
        later = await at.review(lease(1, iteration=2), [candidate(2)], iteration=2)
        said = await at.fresh().reconcile(at.spec)
        assert [events for _, events in said] == [[ready], [later]]
        assert [cause.event_id for cause, _ in said] == ["closed 1", lease(1, iteration=2).lease_id]


async def test_a_wrong_message_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        event = await at.generated(lease(), [candidate(1)])
        for wrong, told in (
            (replace(event, lease=replace(lease(), lease_id="l1")), "must be called 'r1.1.geometric.numeric.1'"),
            (replace(event, iteration=2), "must be called"),
            (replace(event, candidates=artifact("nowhere")), "nowhere"),
        ):
            with pytest.raises(Rejected, match=told):
                await at.heard(wrong)
        assert not await all_names(at.artifacts)


@pytest.mark.parametrize(
    ("table", "change", "told"),
    [
        (b"no parquet", {}, "is not a Parquet file"),
        (write_probes([]), {}, "lacks the column 'candidate_id'"),
        (write_candidates([candidate(1)]), {"num_candidates": 2}, "2 candidates are announced, 1 stand"),
        (
            write_candidates([candidate(1), candidate(2)]),
            {"num_candidates": 2, "lease": replace(lease(), num_candidates=1)},
            "at most 1 candidates, 2 were",
        ),
        (write_candidates([candidate(1)]).replace(b"\x28\xb5\x2f\xfd", b"\0\0\0\0"), {}, "can't be read from row 0"),
    ],
)
async def test_unreadable_candidates_are_refused_and_their_lease_comes_to_nothing(
    tmp_path: Path, table: bytes, change: dict[str, object], told: str
) -> None:
    async with desk(tmp_path) as at:
        event = replace(await at.generated(lease(), [candidate(1)]), candidates=await at.artifacts.put_bytes(table))
        wrong = replace(event, **change)
        for quality in (at.quality, at.fresh()):
            heard: list[Event] = []
            with pytest.raises(Rejected, match=told):
                await at.heard(wrong, "first", quality, into=heard)
            assert [each.verdicts for each in heard if isinstance(each, CandidatesReviewed)] == [()]
        # Another kind answers the same lease: its candidates are no worse for that, but the lease has had its review.
        assert await at.heard(event, "second") == []


async def test_candidates_as_pandas_and_polars_write_them_are_read(tmp_path: Path) -> None:
    large = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary(), pa.list_(pa.string()): pa.large_list(pa.large_string())}
    table = pq.read_table(io.BytesIO(write_candidates([candidate(1)])))
    file = io.BytesIO()
    pq.write_table(table.cast(pa.schema([field.with_type(large.get(field.type, field.type)) for field in table.schema])), file)
    assert read_candidates(file.getvalue(), "candidates") == [candidate(1)]


async def test_the_mixture_warms_the_firewall_or_says_what_is_wrong_with_the_probes(tmp_path: Path) -> None:
    planned = MixturePlanned("r1", 1, model("r1"), Strategy.UNIFORM, (), 10, 20, 0.2)
    unreadable = replace(as_probe(candidate(2)), image=b"GIF89a")
    async with desk(tmp_path, probes=[as_probe(candidate(1)), unreadable]) as at:
        assert await at.quality.on_mixture_planned(planned, delivery()) == ()
        at.spec = replace(at.spec, exam=await at.artifacts.put_bytes(b"no parquet"))
        with pytest.raises(Rejected, match="exam of run r1"):
            await at.fresh().on_mixture_planned(planned, delivery())


@pytest.mark.parametrize(
    "change",
    [{"num_rollouts": 0}, {"max_image_bytes": 0}, {"max_image_pixels": 0}, {"pass_rate_low": 0.9}, {"pass_rate_high": 1.2}],
)
def test_impossible_quality_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(Rejected, match=r"quality\."):
        check_quality(replace(QualitySpec(), **change))  # type: ignore[arg-type]
