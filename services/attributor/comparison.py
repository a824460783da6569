"""Two models on the same probes: what was fixed, what regressed, and whether the gain is more than chance.

Only greedy answers to core probes are paired; both models saw those under the same conditions, so a probe is its own control.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from services.attributor.diagnosis import refuse_exam
from shared.domain import Cell, CellGain, Interval, PairedComparison
from shared.errors import Rejected
from shared.tables import AnswerRow

VARIANCE_PRIOR_PAIRS = 2.0
"""A cell's variance counts against that of all cells as if those had been so many pairs."""
GRID = 1 << 15
"""Steps on which the null distribution is laid where cells have different numbers of pairs."""


@dataclass(slots=True)
class _CellPairs:
    num_fixed: int = 0
    num_still_failing: int = 0
    num_regressed: int = 0
    num_still_right: int = 0
    num_new_failures: int = 0

    @property
    def num_pairs(self) -> int:
        return self.num_fixed + self.num_still_failing + self.num_regressed + self.num_still_right

    @property
    def gain(self) -> float:
        return (self.num_fixed - self.num_regressed) / self.num_pairs if self.num_pairs else 0.0


def compare(
    baseline: Sequence[AnswerRow], challenger: Sequence[AnswerRow], *, baseline_model_id: str, level: float = 0.95
) -> PairedComparison:
    """Compares a challenger with a baseline; gains are challenger minus baseline, in [-1, 1].

    `macro_gain` is the mean of the cells' gains, each cell counting the same. `p_value` is the one-sided exact p-value of "no gain":
    without one, each probe on which the two differ was as likely fixed as regressed (stratified sign test). Probes that either model
    could not be asked are left out.

    Raises:
        Rejected: the two share no core probe, or an answer is to an exam probe.
    """
    before = {row.probe_id: row for row in baseline if _is_paired(row)}
    seen_before = {row.probe_id for row in baseline}
    cells: dict[Cell, _CellPairs] = {}
    for row in challenger:
        refuse_exam(row)
        if not row.is_greedy or row.outcome == "failed":
            continue
        pairs = cells.setdefault(row.cell, _CellPairs())
        is_right = row.outcome == "correct"
        if row.probe_id not in seen_before:
            pairs.num_new_failures += not is_right
        elif row.split == "core" and row.probe_id in before:
            was_right = before[row.probe_id].outcome == "correct"
            pairs.num_fixed += is_right and not was_right
            pairs.num_regressed += was_right and not is_right
            pairs.num_still_failing += not was_right and not is_right
            pairs.num_still_right += was_right and is_right
    paired = [pairs for pairs in cells.values() if pairs.num_pairs]
    if not paired:
        raise Rejected(f"no core probe was answered by both {baseline_model_id} and its challenger: nothing to compare")
    return PairedComparison(
        baseline_model_id=baseline_model_id,
        num_pairs=sum(pairs.num_pairs for pairs in paired),
        macro_gain=sum(pairs.gain for pairs in paired) / len(paired),
        interval=_macro_interval(paired, level),
        p_value=_sign_test(paired),
        cells=tuple(_cell_gain(cell, cells[cell], level) for cell in sorted(cells)),
    )


def _is_paired(row: AnswerRow) -> bool:
    refuse_exam(row)
    return row.is_greedy and row.split == "core" and row.outcome != "failed"


def _cell_gain(cell: Cell, pairs: _CellPairs, level: float) -> CellGain:
    return CellGain(
        cell=cell,
        num_pairs=pairs.num_pairs,
        gain=pairs.gain,
        interval=_cell_interval(pairs, level),
        num_fixed=pairs.num_fixed,
        num_still_failing=pairs.num_still_failing,
        num_regressed=pairs.num_regressed,
        num_new_failures=pairs.num_new_failures,
    )


def _cell_interval(pairs: _CellPairs, level: float) -> Interval:
    """Bonett and Price's adjusted interval for a difference of paired proportions: honest also where few probes changed."""
    if not pairs.num_pairs:
        return Interval(-1.0, 1.0, level)
    total = pairs.num_pairs + 2
    fixed, regressed = (pairs.num_fixed + 1) / total, (pairs.num_regressed + 1) / total
    half = float(special.ndtri((1 + level) / 2)) * math.sqrt((fixed + regressed - (fixed - regressed) ** 2) / total)
    middle = fixed - regressed
    return Interval(max(-1.0, middle - half), min(1.0, middle + half), level)


def _macro_interval(cells: Sequence[_CellPairs], level: float) -> Interval:
    """Stratified t interval on per-probe differences, with Satterthwaite's degrees of freedom."""
    sizes = np.array([pairs.num_pairs for pairs in cells], dtype=float)
    gains = np.array([pairs.gain for pairs in cells])
    squares = np.array([pairs.num_fixed + pairs.num_regressed for pairs in cells]) - sizes * gains**2
    pooled = (np.sum(squares) + 0.5) / max(1.0, np.sum(sizes - 1))
    variances = (squares + VARIANCE_PRIOR_PAIRS * pooled) / (sizes - 1 + VARIANCE_PRIOR_PAIRS)
    parts = variances / sizes / len(cells) ** 2
    freedom = np.sum(parts) ** 2 / np.sum(parts**2 / (sizes - 1 + VARIANCE_PRIOR_PAIRS))
    half = float(special.stdtrit(freedom, (1 + level) / 2) * np.sqrt(np.sum(parts)))
    middle = float(np.mean(gains))
    return Interval(max(-1.0, middle - half), min(1.0, middle + half), level)


def _sign_test(cells: Sequence[_CellPairs]) -> float:
    """P(macro gain at least the one seen) when every changed probe is a fair coin: exact, or rounded up by less than a grid step a group.

    Cells of one size weigh the same, so their changed probes are one binomial; the groups' distributions are convolved.
    """
    groups: dict[int, tuple[int, int]] = {}
    for pairs in cells:
        fixed, changed = groups.get(pairs.num_pairs, (0, 0))
        groups[pairs.num_pairs] = (fixed + pairs.num_fixed, changed + pairs.num_fixed + pairs.num_regressed)
    groups = {size: counts for size, counts in groups.items() if counts[1]}
    if not groups:
        return 1.0
    if len(groups) == 1:
        ((fixed, changed),) = groups.values()
        return float(special.bdtrc(fixed - 1, changed, 0.5)) if fixed else 1.0
    step = sum(changed / size for size, (_, changed) in groups.items()) / GRID
    density: npt.NDArray[np.float64] = np.ones(1)
    observed = 0
    for size, (fixed, changed) in groups.items():
        places = np.rint(np.arange(changed + 1) / size / step).astype(int)
        group = np.zeros(places[-1] + 1)
        fixed_by_chance = np.arange(changed + 1)
        ways = -special.betaln(fixed_by_chance + 1, changed - fixed_by_chance + 1) - math.log(changed + 1)
        np.add.at(group, places, np.exp(ways - changed * math.log(2)))
        length = density.size + group.size - 1
        density = np.fft.irfft(np.fft.rfft(density, length) * np.fft.rfft(group, length), length)
        observed += int(places[fixed])
    return float(min(1.0, max(0.0, np.sum(density[max(0, observed - len(groups)) :]))))
