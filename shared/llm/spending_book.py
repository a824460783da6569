"""What the bucket of budgets holds for a run: its ledger, and which writers wrote last."""

from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from shared.errors import Rejected
from shared.llm.budget import Ledger
from shared.ports import KeyValue

BUCKET = "spiral_spending"
_MAX_WRITERS = 64
"""Writers whose last round is kept: those that wrote last, so the living ones."""


@dataclass(frozen=True, slots=True)
class Book:
    """The value of a run's key."""

    ledger: Ledger = field(default_factory=Ledger)
    rounds: dict[str, int] = field(default_factory=dict)
    """Each writer's last round, the latest writer last."""

    def after(self, ledger: Ledger, writer: str, number: int) -> "Book":
        """The book once a writer's round holds."""
        others = {name: last for name, last in self.rounds.items() if name != writer}
        return Book(ledger, dict([*others.items()][1 - _MAX_WRITERS :]) | {writer: number})


_BOOK = TypeAdapter(Book)


def book_bytes(book: Book) -> bytes:
    """A book as it is kept."""
    return _BOOK.dump_json(book)


def book_of(payload: bytes, run_id: str) -> Book:
    """The book that `book_bytes` wrote.

    Raises:
        Rejected: it is none.
    """
    try:
        return _BOOK.validate_json(payload)
    except ValidationError as error:
        raise Rejected(f"bucket {BUCKET}: the entry {run_id} is no ledger: {error.errors()[0]['msg']}") from error


async def read_book(bucket: KeyValue, run_id: str) -> tuple[Book, int]:
    """A run's book and its revision; 0 where there is none yet.

    Raises:
        Retryable: the broker is away.
        Rejected: the entry is no book.
    """
    entry = await bucket.get(run_id)
    return (book_of(entry.value, run_id), entry.revision) if entry else (Book(), 0)
