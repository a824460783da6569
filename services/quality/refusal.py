"""Why a candidate is refused."""

from dataclasses import dataclass

from shared.domain import RejectionReason
from shared.quoting import visible

MAX_DETAIL_CHARS = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason, and in words for people what the check saw."""

    reason: RejectionReason
    detail: str

    def in_short(self) -> "Refusal":
        """The same with a detail that fits a line of a report, whatever a stranger's words in it hold."""
        line = " ".join(visible(self.detail[: 10 * MAX_DETAIL_CHARS]).split())
        return Refusal(self.reason, line if len(line) <= MAX_DETAIL_CHARS else f"{line[: MAX_DETAIL_CHARS - 1]}…")
