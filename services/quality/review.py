"""From checks, judgements and pass rates to the verdicts of one lease. Pure: whoever drives it judges and asks what it says, no more.

Candidates come up in their order, and the first that pass are accepted. What costs something is wanted only of candidates that passed
everything before, and only of as many as the lease has places left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from services.quality.checks import Compared, Known, compare
from services.quality.difficulty import Rollouts, Window, is_against, outside
from services.quality.judgement import Solution
from services.quality.refusal import Refusal
from services.quality.screening import Screened
from services.quality.sources import Representation, Shares, SourceMark
from shared.domain import Candidate, Lease, Recipe, RejectionReason, Spend, Verdict

MIN_ASKED = 8
"""The policy is asked about at least so many at once, as far as there are: single questions waste its batches."""

_OVER_QUOTA = Refusal(RejectionReason.OVER_QUOTA, "the lease had what it wanted")


@dataclass(frozen=True, slots=True)
class Standards:
    """What a run asks of a lease's candidates."""

    window: Window
    num_rollouts: int
    shares: Shares


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of judging a candidate whose answer no scene proves."""

    refusal: Refusal | None
    solutions: tuple[Solution, ...] = ()
    """Of those who solved it blindly, as far as it came to that."""
    spent: tuple[Spend, ...] = ()


@dataclass(frozen=True, slots=True)
class Doubted:
    """A candidate whose label others unanimously contradict."""

    candidate: Candidate
    answers: tuple[tuple[str, str], ...]
    """Who answered, and what."""


class LeaseReview:
    """The verdicts of one lease in the making.

    Judge `to_judge()` and hand in what came of it; where it is empty, ask the policy about `to_ask()`; where both are, all is settled.
    """

    def __init__(self, screened: Sequence[Screened], lease: Lease, standards: Standards, represented: Representation) -> None:
        """Takes the screened candidates, and the sources of what other leases of the iteration brought; more may join these meanwhile."""
        self._screened = screened
        self._lease = lease
        self._standards = standards
        self._represented = represented
        self._num_open = lease.num_wanted
        self._verdicts: dict[int, Verdict] = {}
        self._judged: dict[int, Judged] = {}
        self._doubted: list[Doubted] = []
        self._waiting: list[int] = []
        for at, each in enumerate(screened):
            if each.refusal is not None:
                self._refuse(at, each.refusal)
            else:
                self._waiting.append(at)
        self._teach()

    def to_judge(self) -> list[Screened]:
        """The candidates that have to be judged next: those without a proof among the next that there are places for.

        One whose source has its share already is refused here, before it costs anything; one that would exceed it together with others that
        are under way waits for them.
        """
        while True:
            batch, has_refused = self._next_batch()
            # Behind what was refused there may be labels that are sure already.
            self._teach()
            if batch or not has_refused:
                return batch

    def judged(self, outcomes: Mapping[str, Judged]) -> None:
        """Takes what came of judging candidates of `to_judge()`, by candidate id."""
        for at in tuple(self._waiting):
            each = self._screened[at]
            outcome = outcomes.get(each.candidate.candidate_id)
            if outcome is None:
                continue
            self._judged[at] = outcome
            if outcome.refusal is not None:
                self._waiting.remove(at)
                self._refuse(at, outcome.refusal)
            if outcome.refusal is not None and outcome.refusal.reason is RejectionReason.QUARANTINED:
                self._doubted.append(Doubted(each.candidate, tuple((found.model, found.answered) for found in outcome.solutions)))
        self._teach()

    def to_ask(self) -> list[Candidate]:
        """The candidates whose rollouts are needed next."""
        if not self._num_open or self._lease.recipe is Recipe.TEACH:
            return []
        sure = list(takewhile(self._is_sure, self._waiting))
        return [self._screened[at].candidate for at in sure[: max(self._num_open, MIN_ASKED)]]

    def answer(self, rollouts: Mapping[str, Rollouts]) -> None:
        """Decides on the candidates of `to_ask()`, in order.

        Args:
            rollouts: by candidate id.

        Raises:
            KeyError: one of them is missing.
        """
        for at in [self._waiting.pop(0) for _ in self.to_ask()]:
            each = self._screened[at]
            seen = rollouts[each.candidate.candidate_id]
            refusal = self._rollouts_fault(each, seen)
            if refusal is not None:
                self._refuse(at, refusal, seen.pass_rate if seen.num_rollouts else None)
            elif self._num_open:
                self._accept(at, seen.pass_rate)
            else:
                self._refuse(at, _OVER_QUOTA, seen.pass_rate)

    def withdraw(self, known: Known, represented: Representation) -> int:
        """Refuses after all what repeats, or with its source exceeds, what others had accepted meanwhile; says how many that were.

        Their places are open again, so there may be more to judge and to ask.
        """
        self._represented = represented
        num_withdrawn = 0
        sources: list[SourceMark] = []
        for at in self._accepted():
            each, verdict = self._screened[at], self._verdicts[at]
            candidate = Compared(each.fingerprint, each.image, each.is_proven) if each.fingerprint else None
            refusal = (compare(candidate, known) if candidate else None) or self._share_fault(each, sources)
            if refusal is not None:
                self._refuse(at, refusal, verdict.pass_rate)
                self._num_open += 1
                num_withdrawn += 1
            elif each.source:
                sources.append(each.source)
        self._teach()
        return num_withdrawn

    def verdicts(self) -> tuple[Verdict, ...]:
        """One verdict a candidate, in order."""
        over = (_OVER_QUOTA.reason, _OVER_QUOTA.detail)
        return tuple(self._verdicts.get(at) or Verdict(each.candidate.candidate_id, False, *over) for at, each in enumerate(self._screened))

    @property
    def screened(self) -> Sequence[Screened]:
        """The candidates, in order."""
        return self._screened

    @property
    def doubted(self) -> Sequence[Doubted]:
        """What was quarantined, with the answers that contradict the label."""
        return self._doubted

    @property
    def spent(self) -> tuple[Spend, ...]:
        """What judging cost, a part for each judged candidate and role."""
        return tuple(part for at in sorted(self._judged) for part in self._judged[at].spent)

    def _next_batch(self) -> tuple[list[Screened], bool]:
        """What is to be judged at once, and whether sources were refused on the way."""
        batch, has_refused = list[Screened](), False
        accepted, coming, num_coming = self._accepted_sources(), list[SourceMark](), 0
        for at in tuple(self._waiting):
            each = self._screened[at]
            if num_coming == self._num_open:
                break
            if not self._is_sure(at):
                if refusal := self._share_fault(each, accepted):
                    self._waiting.remove(at)
                    self._refuse(at, refusal)
                    has_refused = True
                    continue
                if self._share_fault(each, [*accepted, *coming]):
                    break
                batch.append(each)
            num_coming += 1
            coming += [each.source] if each.source else []
        return batch, has_refused

    def _teach(self) -> None:
        """Where a cell is taught, a sure label is all that is asked."""
        while self._lease.recipe is Recipe.TEACH and self._waiting and self._num_open and self._is_sure(self._waiting[0]):
            self._accept(self._waiting.pop(0), None)

    def _is_sure(self, at: int) -> bool:
        return self._screened[at].is_proven or at in self._judged

    def _accepted(self) -> list[int]:
        return sorted(at for at, verdict in self._verdicts.items() if verdict.accepted)

    def _accepted_sources(self) -> list[SourceMark]:
        return [source for at in self._accepted() if (source := self._screened[at].source)]

    def _share_fault(self, each: Screened, beside: Sequence[SourceMark]) -> Refusal | None:
        return self._represented.check(each.source, self._standards.shares, beside=beside) if each.source else None

    def _rollouts_fault(self, each: Screened, seen: Rollouts) -> Refusal | None:
        if not seen.num_rollouts:
            return Refusal(RejectionReason.IMAGE_UNDECODABLE, "the policy can't read the image")
        reason = outside(seen, self._standards.window)
        if reason is RejectionReason.TOO_HARD and not each.is_proven and is_against(seen, self._standards.num_rollouts):
            self._doubted.append(Doubted(each.candidate, ((self._lease.base_model.model_id, seen.majority_answer),)))
            told = f"all {seen.num_rollouts} rollouts of the policy say {seen.majority_answer[:60]!r}"
            return Refusal(RejectionReason.QUARANTINED, f"the label is {each.candidate.answer[:60]!r}, and {told}")
        return Refusal(reason, _told(seen, self._standards.window)) if reason else None

    def _accept(self, at: int, pass_rate: float | None) -> None:
        each = self._screened[at]
        if refusal := self._share_fault(each, self._accepted_sources()):
            self._refuse(at, refusal, pass_rate)
            return
        self._num_open -= 1
        agreed = ", ".join(found.model for found in self._judged[at].solutions) if at in self._judged else ""
        self._verdicts[at] = Verdict(each.candidate.candidate_id, True, None, f"agreed by {agreed}" if agreed else "", pass_rate)

    def _refuse(self, at: int, refusal: Refusal, pass_rate: float | None = None) -> None:
        short = refusal.in_short()
        self._verdicts[at] = Verdict(self._screened[at].candidate.candidate_id, False, short.reason, short.detail, pass_rate)


def _told(rollouts: Rollouts, window: Window) -> str:
    said = f"; it mostly says {rollouts.majority_answer[:60]!r}" if rollouts.majority_answer else ""
    return f"the policy solves {rollouts.num_correct} of {rollouts.num_rollouts}, outside [{window.low:g}, {window.high:g}]{said}"
