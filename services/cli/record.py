"""A run's past, read from the streams and the store without disturbing anything: what a report is made from."""

from contextlib import aclosing

from services.cli.report_build import Recorded, build_report
from services.cli.report_model import Report
from services.cli.session import Session
from shared import events as e
from shared.catalogue import CATALOGUE, Stream
from shared.envelope import unseal
from shared.errors import Rejected
from shared.history import row_of, scan
from shared.llm.spending import BUCKET as SPENDING
from shared.llm.spending import read_spending
from shared.run_spec import RunSpec
from shared.tables import AnswerRow, read_answers


async def read_records(session: Session, run_id: str) -> list[Recorded]:
    """A run's events so far, in the order of their storing, each once.

    Raises:
        Retryable: the broker is away.
    """
    found: dict[str, Recorded] = {}
    for stream in sorted({row.stream for row in CATALOGUE} - {Stream.DEAD}):
        subjects = [
            f"{row.subject}.*.{run_id}" if row.message is e.GenerationRequested else f"{row.subject}.{run_id}"
            for row in CATALOGUE
            if row.stream is stream
        ]
        async with aclosing(scan(session.bus, stream, subjects)) as messages:
            async for stored in messages:
                try:
                    event = unseal(row_of(stored.subject), stored.subject, stored.headers, stored.payload)
                except Rejected:
                    # Rooms send what can't be read to the dead letters, with the reason; a report is made of the rest.
                    continue
                found.setdefault(stored.headers["ce-id"], Recorded(event, stored.stored_at_ns))
    return sorted(found.values(), key=lambda record: record.stored_at_ns)


async def read_report(session: Session, spec: RunSpec) -> Report:
    """The report of a run as far as it got.

    Raises:
        Retryable: broker or store are away.
        Rejected: exam answers are missing from the store or damaged.
    """
    records = await read_records(session, spec.run_id)
    answers: dict[int, list[AnswerRow]] = {}
    for record in records:
        if isinstance(record.event, e.EvaluationCompleted):
            ref = record.event.exam_answers
            answers[record.event.iteration] = read_answers(await session.artifacts.read_bytes(ref), ref.uri)
    spent = await read_spending(await session.bus.bucket(SPENDING), spec.run_id)
    return build_report(spec, records, answers, spent)
