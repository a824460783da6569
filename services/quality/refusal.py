"""Why a candidate is refused."""

from dataclasses import dataclass

from shared.domain import RejectionReason

MAX_DETAIL_CHARS = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason, and in words for people what the check saw."""

    reason: RejectionReason
    detail: str

    def in_short(self) -> "Refusal":
        """The same with a detail that fits a line of a report."""
        return self if len(self.detail) <= MAX_DETAIL_CHARS else Refusal(self.reason, f"{self.detail[: MAX_DETAIL_CHARS - 1]}…")
