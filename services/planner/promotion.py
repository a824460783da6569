"""Whether a challenger becomes champion: a paired test on the same probes, and no cell sacrificed."""

from dataclasses import dataclass

from shared.domain import CellGain, PairedComparison


@dataclass(frozen=True, slots=True)
class PromotionDecision:
    """The decision, with the figures that made it as text for people."""

    is_promoted: bool
    explanation: str


def decide_promotion(comparison: PairedComparison, *, alpha: float, max_cell_regression: float) -> PromotionDecision:
    """Promotes where the gain is significant at the one-sided level `alpha` and no cell surely regressed beyond its bound.

    A cell surely regressed when its whole interval lies below `-max_cell_regression`. Without a true gain a challenger is promoted in a
    share of at most `alpha` of all cases.
    """
    figures = (
        f"macro accuracy {_points(comparison.macro_gain)} ({_interval(comparison.interval.low, comparison.interval.high)} at "
        f"{comparison.interval.level:.0%}) against {comparison.baseline_model_id} on {comparison.num_pairs} paired probes, "
        f"one-sided p = {comparison.p_value:.2g}"
    )
    regressed = sorted((gain for gain in comparison.cells if gain.interval.high < -max_cell_regression), key=lambda gain: gain.gain)
    if comparison.macro_gain <= 0 or comparison.p_value > alpha:
        return PromotionDecision(False, f"kept the champion: no significant gain at level {alpha:g}; {figures}")
    if regressed:
        worst = ", ".join(_cell(gain) for gain in regressed)
        return PromotionDecision(False, f"kept the champion: regressed by more than {max_cell_regression:.0%}: {worst}; overall {figures}")
    return PromotionDecision(True, f"promoted: {figures}; no cell surely regressed by more than {max_cell_regression:.0%}")


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points"


def _interval(low: float, high: float) -> str:
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def _cell(gain: CellGain) -> str:
    return f"{gain.cell} {_points(gain.gain)} ({_interval(gain.interval.low, gain.interval.high)}, {gain.num_pairs} probes)"
