"""Reviewing a lease: one verdict a candidate, in order, the same however often it is done.

First every candidate is screened by the pure checks. Then those that passed are accepted in order until the lease has what it wanted;
where the cell is reinforced, the policy is asked about as many as are needed, and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.quality.checks import Caps, Evidence, Known, Refusal, refuse
from services.quality.difficulty import Rollouts, Window, outside
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint
from shared.domain import Candidate, Lease, Recipe, RejectionReason, Verdict

MIN_ASKED = 8
"""The policy is asked about at least so many at once, as far as there are: single questions waste its batches."""


@dataclass(frozen=True, slots=True)
class Screened:
    """A candidate after the pure checks; the fingerprint is there where none refused."""

    candidate: Candidate
    refusal: Refusal | None
    fingerprint: Fingerprint | None


def screen(candidates: Sequence[Candidate], lease: Lease, caps: Caps, known: Known) -> tuple[Screened, ...]:
    """Applies the pure checks; a candidate that passes may not be repeated by a later one."""
    passed = FingerprintIndex()
    known = Known(known.firewall, (*known.earlier, passed))
    ids: set[str] = set()
    screened = []
    for candidate in candidates:
        evidence = Evidence(candidate, lease.cell, caps)
        refusal = refuse(evidence, known)
        if refusal is None and candidate.candidate_id in ids:
            refusal = Refusal(RejectionReason.SCHEMA, "its candidate_id was given to another candidate")
        mark = None if refusal else evidence.fingerprint
        if mark is not None:
            passed.add(candidate.candidate_id, mark)
            ids.add(candidate.candidate_id)
        screened.append(Screened(candidate, refusal, mark))
    return tuple(screened)


class LeaseReview:
    """The verdicts of one lease in the making: ask `to_ask()` until it is empty, then read `verdicts()`."""

    def __init__(self, screened: Sequence[Screened], lease: Lease, window: Window) -> None:
        self._screened = screened
        self._window = window
        self._num_open = lease.num_wanted
        self._verdicts: dict[int, Verdict] = {}
        self._waiting: list[int] = []
        for at, each in enumerate(screened):
            if each.refusal is not None:
                self._refuse(at, each.refusal.reason, each.refusal.detail)
            else:
                self._waiting.append(at)
        if lease.recipe is Recipe.TEACH:
            # The label is verified by now, and that is what teaching needs.
            while self._waiting and self._num_open:
                self._accept(self._waiting.pop(0), None)

    def to_ask(self) -> list[Candidate]:
        """The candidates whose rollouts are needed next; none where every verdict is settled."""
        if not self._num_open:
            return []
        return [self._screened[at].candidate for at in self._waiting[: max(self._num_open, MIN_ASKED)]]

    def answer(self, rollouts: Mapping[str, Rollouts]) -> None:
        """Decides on the candidates of `to_ask()`, in order.

        Args:
            rollouts: by candidate id.

        Raises:
            KeyError: one of them is missing.
        """
        asked = [self._waiting.pop(0) for _ in self.to_ask()]
        for at in asked:
            seen = rollouts[self._screened[at].candidate.candidate_id]
            if not seen.num_rollouts:
                self._refuse(at, RejectionReason.IMAGE_UNDECODABLE, "the policy can't read the image")
                continue
            reason = outside(seen, self._window)
            if reason is not None:
                self._refuse(at, reason, _told(seen, self._window), seen.pass_rate)
            elif self._num_open:
                self._accept(at, seen.pass_rate)
            else:
                self._refuse(at, RejectionReason.OVER_QUOTA, "the lease had what it wanted", seen.pass_rate)

    def verdicts(self) -> tuple[Verdict, ...]:
        """One verdict a candidate, in order."""
        over = (RejectionReason.OVER_QUOTA, "the lease had what it wanted")
        return tuple(self._verdicts.get(at) or Verdict(each.candidate.candidate_id, False, *over) for at, each in enumerate(self._screened))

    def _accept(self, at: int, pass_rate: float | None) -> None:
        self._num_open -= 1
        self._verdicts[at] = Verdict(self._screened[at].candidate.candidate_id, True, None, "", pass_rate)

    def _refuse(self, at: int, reason: RejectionReason, detail: str, pass_rate: float | None = None) -> None:
        self._verdicts[at] = Verdict(self._screened[at].candidate.candidate_id, False, reason, detail, pass_rate)


def _told(rollouts: Rollouts, window: Window) -> str:
    said = f"; it mostly says {rollouts.majority_answer[:60]!r}" if rollouts.majority_answer else ""
    return f"the policy solves {rollouts.num_correct} of {rollouts.num_rollouts}, outside [{window.low:g}, {window.high:g}]{said}"
