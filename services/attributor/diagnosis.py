"""From graded answers to cells with posteriors, intervals and a corrected test: where the model is weak, and how sure we are.

The answers to one probe resemble each other, so a probe answered five times tells less than five probes. Answers are therefore counted
at their effective number: a probe with m answers weighs m / (1 + (m - 1) rho), with the correlation rho of answers within a probe
estimated per cell and shrunk towards the rho of all cells. Everything below works on these effective counts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import special

from services.attributor.evidence import error_examples, error_of
from shared.domain import Cell, CellDiagnosis, ErrorCount, ErrorType, Interval
from shared.errors import Rejected
from shared.tables import AnswerRow

Array = npt.NDArray[np.float64]

RHO_PRIOR_PROBES = 10.0
"""A cell's correlation within probes counts against that of all cells as if those had been so many probes."""
MIN_POOLED_CELLS = 4
"""Fewer cells than that are not pooled: each gets Jeffreys' prior."""
TYPE_PRIOR_CELLS = 2.0
"""A question type's mean counts against the overall mean as if that had been so many cells."""


@dataclass(slots=True)
class ProbeTally:
    """One probe's graded answers."""

    num_graded: int = 0
    num_correct: int = 0
    num_ungradable: int = 0
    num_sampled_correct: int = 0
    failures: Counter[ErrorType] = field(default_factory=Counter)
    greedy_failure: ErrorType | None = None


@dataclass(frozen=True, slots=True)
class EffectiveCounts:
    """Per cell: correct answers and all answers at their effective number, as arrays over the cells."""

    correct: Array
    total: Array

    @property
    def rate(self) -> Array:
        """Smoothed pass rates: never 0 or 1, so that no variance vanishes."""
        return (self.correct + 0.5) / (self.total + 1.0)


def diagnose(answers: Sequence[AnswerRow], *, level: float = 0.95, false_discovery_rate: float = 0.05) -> tuple[CellDiagnosis, ...]:
    """Diagnoses every cell that the answers name, in the order of cells.

    Answers that could not be asked (`failed`) are neither right nor wrong: they are left out. Ungradable ones count as not correct and
    are reported beside. A cell whose every probe failed has no answers and gets the posterior of a cell never seen. `is_weak` claims
    that the cell's pass rate lies below the mean pass rate of the model's other cells; of all such claims a share of at most
    `false_discovery_rate` is wrong in expectation (Benjamini-Hochberg).

    Raises:
        Rejected: there is no answer at all, or one to an exam probe, which no decision may see.
    """
    tallies = tally(answers)
    cells = sorted(tallies)
    probes = [list(tallies[cell].values()) for cell in cells]
    counts = effective_counts(probes)
    alpha, beta = posteriors(cells, counts)
    low, high = special.betaincinv(alpha, beta, (1 - level) / 2), special.betaincinv(alpha, beta, (1 + level) / 2)
    learnability = alpha * beta / ((alpha + beta) * (alpha + beta + 1))
    p_values = weakness_p_values(counts)
    adjusted = benjamini_hochberg(p_values)
    examples = error_examples(answers)
    return tuple(
        CellDiagnosis(
            cell=cell,
            num_probes=sum(probe.num_graded > 0 for probe in probes[i]),
            num_answers=sum(probe.num_graded for probe in probes[i]),
            num_correct=sum(probe.num_correct for probe in probes[i]),
            num_ungradable=sum(probe.num_ungradable for probe in probes[i]),
            pass_rate=float(alpha[i] / (alpha[i] + beta[i])),
            interval=Interval(float(low[i]), float(high[i]), level),
            learnability=float(learnability[i]),
            p_value=float(p_values[i]),
            adjusted_p_value=float(adjusted[i]),
            is_weak=bool(adjusted[i] <= false_discovery_rate),
            errors=error_counts(probes[i]),
            examples=examples.get(cell, ()),
        )
        for i, cell in enumerate(cells)
    )


def tally(answers: Iterable[AnswerRow]) -> dict[Cell, dict[str, ProbeTally]]:
    """Answers by cell and probe.

    Raises:
        Rejected: no answers, an answer to an exam probe, or an unknown outcome.
    """
    tallies: dict[Cell, dict[str, ProbeTally]] = {}
    for row in answers:
        refuse_exam(row)
        probe = tallies.setdefault(row.cell, {}).setdefault(row.probe_id, ProbeTally())
        if row.outcome == "failed":
            continue
        probe.num_graded += 1
        if row.outcome == "correct":
            probe.num_correct += 1
            probe.num_sampled_correct += not row.is_greedy
            continue
        if row.outcome not in ("incorrect", "ungradable"):
            raise Rejected(f"probe {row.probe_id}: unknown outcome {row.outcome!r}")
        probe.num_ungradable += row.outcome == "ungradable"
        if row.is_greedy:
            probe.greedy_failure = error_of(row)
        else:
            probe.failures[error_of(row)] += 1
    if not tallies:
        raise Rejected("there are no answers to diagnose")
    return tallies


def refuse_exam(row: AnswerRow) -> None:
    """Keeps exam answers out of every decision.

    Raises:
        Rejected: the answer is to an exam probe.
    """
    if row.split == "exam":
        raise Rejected(f"probe {row.probe_id} belongs to the exam, which no decision may see: pass the answers to core and fresh probes")


def error_counts(probes: Iterable[ProbeTally]) -> tuple[ErrorCount, ...]:
    """How the answers went wrong, most frequent first; every wrong answer is counted once.

    A wrong greedy answer whose probe was solved by some sampled answer is `unstable`: the skill is there, but unreliable.
    """
    counts: Counter[ErrorType] = Counter()
    for probe in probes:
        counts.update(probe.failures)
        if probe.greedy_failure is not None:
            counts[ErrorType.UNSTABLE if probe.num_sampled_correct else probe.greedy_failure] += 1
    return tuple(ErrorCount(error, count) for error, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def effective_counts(probes: Sequence[Sequence[ProbeTally]]) -> EffectiveCounts:
    """Effective counts per cell, from the tallies of each cell's probes.

    Where rho had to be estimated, counts shrink by (z / t)² (Korn and Graubard), so that few probes do not pretend to know it.
    """
    graded = [np.array([p.num_graded for p in cell if p.num_graded], dtype=float) for cell in probes]
    correct = [np.array([p.num_correct for p in cell if p.num_graded], dtype=float) for cell in probes]
    rho = within_probe_correlation(graded, correct)
    sizes = np.array([len(m) for m in graded])
    freedom = np.maximum(4.0, np.minimum(sizes - 1 + RHO_PRIOR_PROBES, np.sum(np.maximum(sizes - 1, 0))))
    certainty = np.where([np.any(m > 1) for m in graded], (special.ndtri(0.975) / special.stdtrit(freedom, 0.975)) ** 2, 1.0)
    weights = [c / (1.0 + (m - 1.0) * r) for m, r, c in zip(graded, rho, certainty, strict=True)]
    return EffectiveCounts(
        correct=np.array([float(np.sum(w * s)) for w, s in zip(weights, correct, strict=True)]),
        total=np.array([float(np.sum(w * m)) for w, m in zip(weights, graded, strict=True)]),
    )


def within_probe_correlation(graded: Sequence[Array], correct: Sequence[Array]) -> Array:
    """Correlation of the answers to one probe, per cell, in [0, 1].

    1 - rho is the disagreement of two answers to one probe over that of two answers to different probes of the cell. Both are summed
    over cells before dividing, so that cells near 0 or 1, where answers cannot disagree, do not decide. Where nothing tells (no probe
    answered twice, or no answer differs) rho is 1: a probe then counts once.
    """
    within, between, weights = (np.zeros(len(graded)) for _ in range(3))
    for i, (m, s) in enumerate(zip(graded, correct, strict=True)):
        num_pairs = float(np.sum(m * (m - 1)))
        if len(m) < 2 or num_pairs == 0:
            continue
        rate = s / m
        within[i] = np.sum(s * (m - s)) / num_pairs
        between[i] = (np.sum(rate) * np.sum(1 - rate) - np.sum(rate * (1 - rate))) / (len(m) * (len(m) - 1))
        weights[i] = len(m) - 1
    if not np.sum(weights * between):
        return np.ones(len(graded))
    pooled = np.sum(weights * within) / np.sum(weights * between)
    prior = RHO_PRIOR_PROBES * np.sum(weights * between) / np.sum(weights)
    rho: Array = np.clip(1.0 - (weights * within + prior * pooled) / (weights * between + prior), 0.0, 1.0)
    return rho


def posteriors(cells: Sequence[Cell], counts: EffectiveCounts) -> tuple[Array, Array]:
    """Beta posteriors of the cells' pass rates, partially pooled towards their question type's mean (empirical Bayes).

    The strength of the pooling is averaged over its posterior under the uniform shrinkage prior, and never exceeds the evidence that a
    question type holds on average.
    """
    seen = counts.total > 0
    rates = counts.rate
    overall = float(np.mean(rates[seen])) if seen.any() else 0.5
    kinds = [cell.question_type for cell in cells]
    means = np.empty(len(cells))
    for kind in set(kinds):
        members = np.array([k == kind for k in kinds])
        inside = members & seen
        means[members] = (np.sum(rates[inside]) + TYPE_PRIOR_CELLS * overall) / (np.sum(inside) + TYPE_PRIOR_CELLS)
    if np.sum(seen) < MIN_POOLED_CELLS:
        means[:] = 0.5
    strength = _pooling_strength(means[seen], counts.correct[seen], counts.total[seen], len(set(kinds)))
    alpha: Array = means * strength + counts.correct
    beta: Array = (1 - means) * strength + counts.total - counts.correct
    return alpha, beta


def _pooling_strength(means: Array, correct: Array, total: Array, num_types: int) -> float:
    """Prior strength in effective answers."""
    if len(means) < MIN_POOLED_CELLS:
        return 1.0
    typical = float(np.mean(total))
    strengths = np.geomspace(0.5, max(2.0, float(np.sum(total)) / num_types), 40)
    a, b = np.outer(strengths, means), np.outer(strengths, 1 - means)
    log_likelihood = np.sum(special.betaln(a + correct, b + total - correct) - special.betaln(a, b), axis=1)
    log_weight = log_likelihood + np.log(strengths) - 2 * np.log(strengths + typical)
    weight = np.exp(log_weight - np.max(log_weight))
    shrinkage = float(np.sum(weight * strengths / (strengths + typical)) / np.sum(weight))
    shrinkage *= 1 - 3 / len(means)  # as James and Stein: few cells say little about how much cells differ
    return max(1.0, typical * shrinkage / (1 - shrinkage))


def weakness_p_values(counts: EffectiveCounts) -> Array:
    """One-sided p-values of "this cell is not weaker than the model's overall pass rate".

    The overall rate is the mean over the other cells (a cell lies below the mean of all exactly when it lies below the mean of the
    others). Its own uncertainty is charged to the cell's effective number of answers; the tail is the binomial one, continued to
    fractional counts, so that small cells err on the side of silence. No pooling enters: a claim stands on the cell's own answers.
    """
    p_values = np.ones(len(counts.total))
    seen = np.flatnonzero(counts.total > 0)
    if len(seen) < 2:
        return p_values
    rates = counts.rate[seen]
    variances = rates * (1 - rates) / counts.total[seen]
    for position, i in enumerate(seen):
        others = np.arange(len(seen)) != position
        null = float(np.mean(rates[others]))
        spread = null * (1 - null)
        rest_variance = float(np.sum(variances[others])) / (len(seen) - 1) ** 2
        trials = spread / (spread / counts.total[i] + rest_variance)
        successes = counts.correct[i] / counts.total[i] * trials
        p_values[i] = 1.0 if successes >= trials else float(special.betainc(trials - successes, successes + 1, 1 - null))
    return p_values


def benjamini_hochberg(p_values: Array) -> Array:
    """Adjusted p-values: claiming all at or below q keeps the expected share of false claims at q."""
    order = np.argsort(p_values)
    scaled = p_values[order] * (len(p_values) / np.arange(1, len(p_values) + 1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted
