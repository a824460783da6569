"""The shared log of a run: acceptance is one line, also over crashes, over a lost bucket, and for runs that knew no log."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from services.quality.acceptance_log import BUCKET
from services.quality.records import FINGERPRINTS_FILE, announcement, review_name
from shared.domain import Candidate, Cell, ImageCategory, Lease, QuestionType, Recipe
from shared.domain import RejectionReason as Reason
from shared.errors import Retryable
from shared.events import CandidatesReviewed
from shared.manifest import manifest_of
from tests.unit.quality.reviewing import Desk, MemoryBucket, TableRates, all_names, desk
from tests.unit.quality.suspects import NUMERIC, candidate, drawing, encoded, lease, name, scene

ELSEWHERE = Cell(ImageCategory.MAP, QuestionType.NUMERIC)


def elsewhere(number: int, *, what: str = "map") -> Candidate:
    """The same picture and question as `candidate(number)`, re-encoded, as one of another cell."""
    count = number % 7 + 1
    shown = scene(
        {"op": "count", "where": {"color": "red"}},
        *({"id": f"d{i}", "color": "red"} for i in range(count)),
        {"id": "b", "color": "blue"},
        category="map",
    )
    image = encoded(drawing(number), "JPEG", quality=85)
    return candidate(number, candidate_id=name(f"{what} {number}"), cell=ELSEWHERE, scene=shown, image=image)


def order_of(bucket: MemoryBucket) -> list[str]:
    numbered = sorted((int(key.rpartition(".")[2]), entry) for key, entry in bucket.entries.items())
    return [manifest_of(entry.value, str(number)).name for number, entry in numbered if number]


async def test_entries_are_the_manifests_that_are_committed(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        first = await at.review(lease(1), [candidate(1)])
        await at.review(lease(2), [candidate(2)])
        assert sorted(at.buckets[BUCKET].entries) == ["r1.0", "r1.1", "r1.2"]
        assert manifest_of(at.buckets[BUCKET].entries["r1.1"].value, "entry") == await at.artifacts.manifest(first.review)


async def test_a_review_that_was_entered_but_not_committed_is_committed_from_its_entry(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        event = await at.generated(lease(1, recipe=Recipe.REINFORCE), [candidate(1)])
        at.store.num_left = 3
        with pytest.raises(Retryable):
            await at.heard(event)
        assert "r1.1" in at.buckets[BUCKET].entries and not await all_names(at.artifacts)
        at.store.num_left = 1 << 30
        num_asked = len(at.rates.asked)
        # Whoever comes next, with whatever answer, finds the entry: what it says was accepted.
        other = await at.generated(lease(1, recipe=Recipe.REINFORCE), [candidate(5)])
        assert await at.heard(other, "another answer", at.fresh()) == []
        (reviewed,) = await at.heard(event, quality=at.fresh())
        assert isinstance(reviewed, CandidatesReviewed) and [each.accepted for each in reviewed.verdicts] == [True]
        assert len(at.rates.asked) == num_asked, "nobody was asked again"


async def test_copies_across_cells_are_accepted_once_whoever_is_first(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        assert (await at.review(lease(1), [candidate(1)])).verdicts[0].accepted
        second = await at.review(lease(1, cell=ELSEWHERE), [elsewhere(1), elsewhere(2)])
        assert [verdict.reason for verdict in second.verdicts] == [Reason.NEAR_DUPLICATE, None]


async def accepted_twice(at: Desk, numbers: dict[str, list[int]]) -> list[tuple[str, str]]:
    """Reviews that accepted the same picture; `numbers` are those of each review's candidates."""
    shown: dict[int, str] = {}
    twice = []
    for each in await all_names(at.artifacts):
        ref = await at.artifacts.find(each)
        assert ref is not None
        for number, verdict in zip(numbers[each], (await announcement(at.artifacts, ref)).verdicts, strict=True):
            if verdict.accepted:
                twice += [(shown[number], each)] if number in shown else []
                shown[number] = each
    return twice


async def test_reviews_at_the_same_time_never_both_accept_a_copy(tmp_path: Path) -> None:
    rng, numbers = Random(3), dict[str, list[int]]()
    async with desk(tmp_path, rates=SlowRates(rng)) as at:
        replicas = [at.quality, at.fresh(), at.fresh()]
        reviews = []
        for ordinal in range(1, 7):
            for cell, make in ((NUMERIC, candidate), (ELSEWHERE, elsewhere)):
                asked_for = lease(ordinal, cell=cell, recipe=rng.choice(list(Recipe)), num_wanted=5)
                drawn = numbers[review_name("r1", 1, asked_for.lease_id)] = rng.sample(range(20), 8)
                made = [replace(make(number), candidate_id=name(f"{asked_for.lease_id} {number}")) for number in drawn]
                event = await at.generated(asked_for, made)
                reviews.append(at.heard(event, asked_for.lease_id, rng.choice(replicas)))
        await asyncio.gather(*reviews)
        assert await accepted_twice(at, numbers) == []
        assert len(order_of(at.buckets[BUCKET])) == 12


class SlowRates(TableRates):
    """Takes its time, so that others get in between."""

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._rng = rng

    async def ask(self, *args: object, **named: object) -> dict:  # type: ignore[override,type-arg]
        for _ in range(self._rng.randrange(40)):
            await asyncio.sleep(0)
        return await super().ask(*args, **named)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_new_process", [False, True])
async def test_a_lost_log_is_rebuilt_from_the_reviews_in_the_order_of_their_leases(tmp_path: Path, is_new_process: bool) -> None:
    async with desk(tmp_path) as at:
        for asked_for, number in ((lease(2), 2), (lease(10), 10), (lease(1), 1)):
            await at.review(asked_for, [candidate(number)])
        await at.review(lease(1, cell=ELSEWHERE), [elsewhere(4)])
        await at.review(lease(1, iteration=2), [candidate(5)], iteration=2)
        at.buckets.clear()
        if is_new_process:
            at.quality = at.fresh()
        copies = [candidate(number, candidate_id=name(f"copy {number}")) for number in (1, 2, 4, 10, 5, 6)]
        later = await at.review(lease(11), copies)
        expected = [Reason.EXACT_DUPLICATE] * 2 + [Reason.NEAR_DUPLICATE] + [Reason.EXACT_DUPLICATE] * 2 + [None]
        assert [verdict.reason for verdict in later.verdicts] == expected
        places = ["1/reviews/r1.1.geometric.numeric.1", "1/reviews/r1.1.geometric.numeric.2", "1/reviews/r1.1.geometric.numeric.10"]
        places += ["1/reviews/r1.1.map.numeric.1", "2/reviews/r1.2.geometric.numeric.1", "1/reviews/r1.1.geometric.numeric.11"]
        assert order_of(at.buckets[BUCKET]) == [f"runs/r1/{place}" for place in places]


class LostBucket(MemoryBucket):
    """Is lost once a review has entered it, before that is committed; others find it empty meanwhile."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self._is_lost = False

    async def create(self, key: str, value: bytes) -> int:
        revision = await super().create(key, value)
        if key == "r1.1" and not self._is_lost:
            self._is_lost = True
            self.entries.clear()
            await self._meanwhile()
        return revision


async def test_a_review_that_was_entered_into_a_log_that_is_lost_counts_once_it_is_committed(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        other = at.fresh()
        unrelated = await at.generated(lease(1, cell=ELSEWHERE), [elsewhere(9)])
        at.buckets[BUCKET] = LostBucket(lambda: at.heard(unrelated, "unrelated", other))
        assert (await at.review(lease(1), [candidate(1)])).verdicts[0].accepted
        copy = await at.generated(lease(2, cell=ELSEWHERE), [elsewhere(1)])
        (reviewed,) = await at.heard(copy, "copy", other)
        assert isinstance(reviewed, CandidatesReviewed) and reviewed.verdicts[0].reason is Reason.NEAR_DUPLICATE
        assert len(order_of(at.buckets[BUCKET])) == 3


async def test_replicas_that_rebuild_at_the_same_time_enter_each_review_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for ordinal in range(1, 8):
            await at.review(lease(ordinal), [candidate(ordinal)])
        at.buckets.clear()
        events = [await at.generated(lease(ordinal), [candidate(ordinal - 7), candidate(ordinal)]) for ordinal in (11, 12, 13)]
        heard = await asyncio.gather(*(at.heard(event, event.lease.lease_id, at.fresh()) for event in events))
        for (reviewed,) in heard:
            assert isinstance(reviewed, CandidatesReviewed)
            assert [verdict.reason for verdict in reviewed.verdicts] == [Reason.EXACT_DUPLICATE, None]
        names = order_of(at.buckets[BUCKET])
        assert len(names) == len(set(names)) == 10
        assert names[:7] == [review_name("r1", 1, lease(ordinal).lease_id) for ordinal in range(1, 8)]


async def test_a_rebuilding_that_breaks_off_is_taken_up_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for ordinal in range(1, 5):
            await at.review(lease(ordinal), [candidate(ordinal)])
        bucket = FailingBucket(num_left=3)
        at.buckets[BUCKET] = bucket
        asked_for: Lease = lease(5)
        event = await at.generated(asked_for, [candidate(4, candidate_id=name("copy")), candidate(6)])
        num_failures = 0
        while True:
            try:
                (reviewed,) = await at.heard(event, asked_for.lease_id)
                break
            except Retryable:
                num_failures += 1
                bucket.num_left = 1
        assert num_failures == 4
        assert isinstance(reviewed, CandidatesReviewed)
        assert [verdict.reason for verdict in reviewed.verdicts] == [Reason.EXACT_DUPLICATE, None]
        assert len(order_of(bucket)) == 5


class FailingBucket(MemoryBucket):
    """Loses the broker after a number of writes; the last one was stored nevertheless."""

    def __init__(self, num_left: int) -> None:
        super().__init__()
        self.num_left = num_left

    async def create(self, key: str, value: bytes) -> int:
        if not self.num_left:
            raise Retryable("the broker is away")
        revision = await super().create(key, value)
        self.num_left -= 1
        if not self.num_left:
            raise Retryable("the broker's answer was lost")
        return revision


async def test_only_the_latest_runs_are_kept_in_memory(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        known = at.quality._known
        first = known.log("r1")
        assert known.log("r1") is first
        for number in range(9):
            known.log(f"other {number}")
        assert known.log("r1") is not first
        await at.review(lease(1), [candidate(1)])
        at.quality._known._logs.clear()
        again = await at.review(lease(2), [candidate(1, candidate_id=name("copy"))])
        assert [verdict.reason for verdict in again.verdicts] == [Reason.EXACT_DUPLICATE]


OLD_COLUMNS = ["candidate_id", "accepted", "exact", "words", "answer", "short_side_px", "cells"]


async def test_reviews_of_versions_that_knew_no_log_count_and_are_announced_as_they_were(tmp_path: Path) -> None:
    async with desk(tmp_path / "newer") as newer, desk(tmp_path / "older") as at:
        reviewed = await newer.review(lease(1), [candidate(1)])
        manifest = await newer.artifacts.manifest(reviewed.review)
        files = {}
        for path, ref in manifest.files.items():
            payload = await newer.artifacts.read_bytes(ref)
            if path == FINGERPRINTS_FILE:
                sink = io.BytesIO()
                pq.write_table(pq.read_table(io.BytesIO(payload), columns=OLD_COLUMNS), sink)
                payload = sink.getvalue()
            files[path] = await at.artifacts.put_bytes(payload)
        metadata = {key: value for key, value in manifest.metadata.items() if key != "spent"}
        standing = await at.artifacts.commit(manifest.name, files, cause=manifest.cause, metadata=metadata)
        ((_, (said,)),) = await at.quality.reconcile(at.spec)
        assert said == replace(reviewed, review=standing)
        jpeg = candidate(1, candidate_id=name("jpeg"), image=encoded(drawing(1), "JPEG", quality=85))
        later = await at.review(lease(2), [candidate(1, candidate_id=name("copy")), jpeg, candidate(2)])
        assert [verdict.reason for verdict in later.verdicts] == [Reason.EXACT_DUPLICATE, Reason.NEAR_DUPLICATE, None]
        assert len(order_of(at.buckets[BUCKET])) == 2
