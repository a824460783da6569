"""Who may not repeat what within a run."""

from dataclasses import replace

from services.quality.run_index import Mark, Place, RunIndex, place_of
from services.quality.sources import Shares, SourceMark
from shared.domain import Cell, ImageCategory, QuestionType
from tests.unit.quality.suspects import CHOICE, NUMERIC, candidate, drawing, encoded, lease, mark, name

ELSEWHERE = Cell(ImageCategory.MAP, QuestionType.NUMERIC)
HERE = Place(2, NUMERIC, 3)


def index(place: Place, *, accepted: bool = True, source: SourceMark | None = None) -> RunIndex:
    run = RunIndex()
    run.add(place, [Mark("theirs", accepted, mark(candidate(1)), source)])
    return run


def found(place: Place, *, accepted: bool = True) -> tuple[str | None, str | None]:
    earlier = index(place, accepted=accepted).before(HERE)
    near = mark(candidate(1, image=encoded(drawing(1), "JPEG", quality=85)))
    return earlier.exact(mark(candidate(1))), earlier.near(near)


def test_a_lease_id_names_its_place() -> None:
    assert place_of(lease(3, iteration=2).lease_id) == HERE


def test_accepted_samples_count_everywhere_but_for_other_question_types_of_the_same_iteration() -> None:
    both, neither = ("theirs", "theirs"), (None, None)
    assert found(Place(2, NUMERIC, 1)) == both
    assert found(Place(2, NUMERIC, 9)) == both, "two reviews never both accept it, whichever came first"
    assert found(Place(2, ELSEWHERE, 9)) == both
    assert found(Place(2, CHOICE, 1)) == neither
    assert found(Place(1, CHOICE, 1)) == found(Place(3, ELSEWHERE, 1)) == both


def test_a_leases_own_marks_are_not_its_past() -> None:
    assert found(HERE) == found(HERE, accepted=False) == (None, None)


def test_what_models_refused_counts_for_later_leases_of_the_same_cell_and_iteration() -> None:
    assert found(Place(2, NUMERIC, 2), accepted=False) == ("theirs", "theirs")
    for place in (Place(2, NUMERIC, 4), Place(2, ELSEWHERE, 1), Place(1, NUMERIC, 1)):
        assert found(place, accepted=False) == (None, None)


def test_a_mark_that_does_not_count_hides_none_that_does() -> None:
    run = index(Place(2, CHOICE, 1))
    run.add(Place(2, NUMERIC, 1), [Mark("counts", True, mark(candidate(1)))])
    earlier = run.before(HERE)
    assert earlier.exact(mark(candidate(1))) == earlier.near(mark(candidate(1))) == "counts"


def test_news_are_what_counts_since_a_number() -> None:
    run = index(Place(2, NUMERIC, 1))
    assert run.before(HERE) and not run.before(HERE, since=1)
    run.add(Place(2, CHOICE, 1), [Mark("another type", True, mark(candidate(2)))])
    assert not run.before(HERE, since=1)
    run.add(Place(2, ELSEWHERE, 1), [Mark("news", True, mark(candidate(3)))])
    news = run.before(HERE, since=1)
    assert news and news.near(mark(candidate(3))) == "news"
    assert news.near(mark(candidate(1))) is None and news.exact(mark(candidate(1))) is None


def test_accepted_sources_are_counted_by_iteration() -> None:
    source = SourceMark("a.test", name("source"), 7)
    run = index(Place(1, NUMERIC, 1), source=source)
    run.add(
        Place(1, NUMERIC, 2),
        [Mark("refused", False, mark(candidate(2)), replace(source, domain="b.test", image_sha256=name("b"), image_hash=~7 & (2**64 - 1)))],
    )
    assert run.represented(1).check(source, Shares(1, 1)) is not None
    assert (
        run.represented(1).check(replace(source, domain="b.test", image_sha256=name("b"), image_hash=~7 & (2**64 - 1)), Shares(1, 1))
        is None
    )
    assert run.represented(2).check(source, Shares(1, 1)) is None
