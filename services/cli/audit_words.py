"""People's words on labels: kept as manifests in the store, said to the planner, and said again where a broker lost them.

A word is committed under `runs/<run>/<iteration>/audits/<sample_id>.<revision>` before it is said, and its event's id derives from the same
three names. So a word counts once however often it is said, and nothing is lost with the broker.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.cli.audit_drawing import Drawn
from services.cli.audit_labels import last_words
from services.cli.session import Session
from shared.artifacts import Artifacts
from shared.catalogue import BY_MESSAGE, Room, subject_of
from shared.domain import AuditVerdict
from shared.envelope import MESSAGE_ID, Consequences
from shared.events import LabelAudited
from shared.history import scan
from shared.in_parallel import in_parallel
from shared.ports import Cause
from shared.publisher import publish_event
from shared.run_spec import RunSpec
from shared.wire_json import from_json, to_json

WORD = "word"
_NUM_PARALLEL_READS = 16


@dataclass(frozen=True, slots=True)
class Noted:
    """A word as it stands in the store, and what it follows from."""

    word: LabelAudited
    cause: Cause


async def read_words(artifacts: Artifacts, spec: RunSpec) -> list[Noted]:
    """The last word on every sample of a run.

    Raises:
        Retryable: the store is away.
        Rejected: a word is damaged.
    """
    revisions: dict[tuple[int, str], int] = {}

    async def listed(iteration: int) -> tuple[int, Sequence[str]]:
        return iteration, await artifacts.names(f"{_folder(spec.run_id, iteration)}/")

    for iteration, listing in await in_parallel(listed, range(1, spec.num_iterations + 1), limit=_NUM_PARALLEL_READS):
        for name in listing:
            sample_id, _, revision = name.rpartition("/")[2].rpartition(".")
            if revision.isdigit():
                revisions[iteration, sample_id] = max(int(revision), revisions.get((iteration, sample_id), 0))

    async def read(name: str) -> Noted | None:
        return await _standing(artifacts, name)

    names = [_name(spec.run_id, iteration, sample_id, revision) for (iteration, sample_id), revision in sorted(revisions.items())]
    found = await in_parallel(read, names, limit=_NUM_PARALLEL_READS)
    return [noted for noted in found if noted is not None]


class AuditBook:
    """The words on a run's labels as one auditor knows them: who said what last, and how to say more."""

    def __init__(self, session: Session, run_id: str, auditor: str, standing: Iterable[Noted]) -> None:
        self._session = session
        self._run_id = run_id
        self._auditor = auditor
        self.last = last_words(noted.word for noted in standing)

    async def say(self, drawn: Drawn, verdict: AuditVerdict, detail: str) -> LabelAudited:
        """Keeps a word in the store and says it; the same word again is the one that stands.

        Raises:
            Retryable: the store is away, and nothing is kept; or the broker is, and the next start of the command says the word.
        """
        sample = drawn.sample
        before = self.last.get(sample.sample_id)
        revision = before.revision + 1 if before else 1
        word = LabelAudited(self._run_id, drawn.iteration, sample.cell, sample.sample_id, verdict, self._auditor, detail, revision)
        if before is None or replace(word, revision=before.revision) != before:
            before = self.last[sample.sample_id] = await _note(self._session, word)
        return before


async def say_again(session: Session, run_id: str, words: Iterable[Noted]) -> int:
    """Says what stands in the store and not in the stream; returns how many words that were.

    Raises:
        Retryable: the broker is away.
    """
    unsaid = {Consequences(Room.CLI, noted.cause, {}).seal(noted.word).event_id: noted for noted in words}
    if unsaid:
        subject = subject_of(next(iter(unsaid.values())).word)
        async for stored in scan(session.bus, BY_MESSAGE[LabelAudited].stream, [subject], headers_only=True):
            unsaid.pop(stored.headers.get(MESSAGE_ID, ""), None)
    for noted in unsaid.values():
        await publish_event(session.bus, Room.CLI, noted.cause, noted.word)
    return len(unsaid)


def _folder(run_id: str, iteration: int) -> str:
    return f"runs/{run_id}/{iteration}/audits"


def _name(run_id: str, iteration: int, sample_id: str, revision: int) -> str:
    return f"{_folder(run_id, iteration)}/{sample_id}.{revision}"


async def _standing(artifacts: Artifacts, name: str) -> Noted | None:
    ref = await artifacts.find(name)
    if ref is None:
        return None
    manifest = await artifacts.manifest(ref)
    return Noted(from_json(LabelAudited, manifest.metadata[WORD]), manifest.cause)


async def _note(session: Session, word: LabelAudited) -> LabelAudited:
    """Keeps a word and says it; returns it with the first revision from its own on that is free."""
    while True:
        name = _name(word.run_id, word.iteration, word.sample_id, word.revision)
        cause = Cause(hashlib.sha256(f"operator/{name}".encode()).hexdigest(), time.time_ns())
        ref = await session.artifacts.commit(name, {}, cause=cause, metadata={WORD: to_json(word)})
        manifest = await session.artifacts.manifest(ref)
        if from_json(LabelAudited, manifest.metadata[WORD]) == word:
            await publish_event(session.bus, Room.CLI, manifest.cause, word)
            return word
        # Somebody else had a word on it meanwhile: this one comes after.
        word = replace(word, revision=word.revision + 1)
