"""Prepares a run once: checkpoint and probes go to the store, the specification to the bus, then iteration 0 is announced.

Every step is found done when the command runs again, so a run that was interrupted anywhere here continues.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.cli.audit_words import read_words, say_again
from services.cli.probe_file import read_probe_file
from services.cli.run_settings import RUN_ID, RunSettings, directory_digest, file_digest, settings_digest
from services.cli.session import Session
from services.cli.splits import EXAM, split_probes
from shared.catalogue import Room
from shared.checkpoint import check_directory
from shared.domain import ArtifactRef, ModelVersion
from shared.errors import BadConfiguration, NotFound, Rejected
from shared.events import ModelUpdated
from shared.ports import Cause
from shared.publisher import publish_event
from shared.run_spec import RunSpec
from shared.tables import Probe, write_probes

DRAWN = "drawn by the generators"
PARQUET = "probes.parquet"


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A request whose inputs were read and found good. `probes` is empty where the generators are to draw them."""

    run_id: str
    digest: str
    settings: RunSettings
    model_type: str
    num_weight_bytes: int
    probes: tuple[Probe, ...]


def check_run(settings: RunSettings, run_id: str | None) -> CheckedRun:
    """Reads and checks all inputs; changes nothing.

    Raises:
        Rejected: the checkpoint directory or the probe file is not in order.
        BadConfiguration: the run id is no id, or the probes leave a split empty.
    """
    if run_id is not None and not RUN_ID.match(run_id):
        raise BadConfiguration(f"--run-id {run_id!r}: use lower-case letters, digits and hyphens, at most 40, not at the ends")
    model_type = check_directory(settings.model)
    probes: list[Probe] = []
    if settings.probes is not None:
        found = read_probe_file(settings.probes)
        probes = split_probes(found, seed=settings.seed, num_iterations=settings.num_iterations)
        if not any(probe.split == EXAM for probe in probes):
            raise Rejected(
                f"{settings.probes} is too small: it needs at least two rows with different images in one cell, one of them for the exam"
            )
    digest = settings_digest(
        settings,
        model_digest=directory_digest(settings.model),
        probes_digest=file_digest(settings.probes) if settings.probes else DRAWN,
    )
    return CheckedRun(
        run_id=run_id or f"run-{digest[:10]}",
        digest=digest,
        settings=settings,
        model_type=model_type,
        num_weight_bytes=sum(path.stat().st_size for path in settings.model.glob("*.safetensors")),
        probes=tuple(probes),
    )


def first_cause(run_id: str, created_at_ns: int) -> Cause:
    """The operator's wish, from which everything in a run follows."""
    return Cause(hashlib.sha256(f"operator/{run_id}".encode()).hexdigest(), created_at_ns)


async def standing_run(session: Session, checked: CheckedRun) -> RunSpec | None:
    """The run of that id where it stands already.

    Raises:
        Rejected: it was made with other settings or inputs, or its objects are gone.
    """
    base = await session.artifacts.find(base_name(checked.run_id))
    if base is not None:
        made_with = (await session.artifacts.manifest(base)).metadata.get("settings_digest")
        if made_with != checked.digest:
            raise Rejected(
                f"run {checked.run_id} exists with other settings or inputs, and its objects stand in this store: "
                "choose another --run-id, or leave it out"
            )
    try:
        spec = await session.runs.get(checked.run_id)
    except NotFound:
        return None
    if base is None:
        raise Rejected(
            f"the broker knows run {checked.run_id}, but its objects are not in this store: name the store that holds them, "
            "or choose another --run-id"
        )
    return spec


async def prepare_run(
    session: Session, checked: CheckedRun, draw: Callable[[], Awaitable[Sequence[Probe]]], say: Callable[[str], None]
) -> RunSpec:
    """Makes the run known and announces its base model; what was done before is not done again.

    Args:
        session: the stack.
        checked: the request.
        draw: draws probes; called only where the user brought none and none were drawn yet.
        say: told what is being done.

    Raises:
        Rejected: the run exists with other settings.
        Retryable: the stack went away; the same call continues.
    """
    spec = await standing_run(session, checked)
    if spec is None:
        spec = await _create(session, checked, draw, say)
    # A new broker knows none of them, and cells that are held back for wrong labels would come back.
    if num_words := await say_again(session, spec.run_id, await read_words(session.artifacts, spec)):
        say(f"{num_words} word(s) on labels stood in the store and not in the broker: said again")
    model = ModelVersion(model_id=f"{spec.run_id}/0", iteration=0, checkpoint=spec.base_checkpoint)
    await publish_event(session.bus, Room.CLI, first_cause(spec.run_id, spec.created_at_ns), ModelUpdated(spec.run_id, 0, model))
    return spec


def base_name(run_id: str) -> str:
    """The manifest of the checkpoint that the operator brought."""
    return f"runs/{run_id}/base"


async def _create(
    session: Session, checked: CheckedRun, draw: Callable[[], Awaitable[Sequence[Probe]]], say: Callable[[str], None]
) -> RunSpec:
    settings, run_id = checked.settings, checked.run_id
    # Without a time: whoever prepares this run, now or on another broker, writes the same bytes.
    cause = first_cause(run_id, 0)
    if await session.artifacts.find(base_name(run_id)) is not None:
        say(f"the store holds run {run_id} already, and the broker does not know it: going on from what was stored")
    else:
        say(f"storing the checkpoint {settings.model}")
    base = await session.artifacts.commit_directory(
        base_name(run_id), settings.model, cause=cause, metadata={"settings_digest": checked.digest, "model_type": checked.model_type}
    )
    names = {"probes": f"runs/{run_id}/probes", "exam": f"runs/{run_id}/exam"}
    refs = {part: await _committed(session, name) for part, name in names.items()}
    if not all(refs.values()):
        if not checked.probes:
            say("asking the generators for probes")
        probes = checked.probes or tuple(await draw())
        for part, name in names.items():
            mine = [probe for probe in probes if (probe.split == EXAM) == (part == "exam")]
            blob = await session.artifacts.put_bytes(write_probes(mine))
            await session.artifacts.commit(
                name, {PARQUET: blob}, cause=cause, metadata={"num_probes": len(mine), "source": _source(settings.probes)}
            )
            refs[part] = await _committed(session, name)
    probes_ref, exam_ref = refs["probes"], refs["exam"]
    if probes_ref is None or exam_ref is None:
        raise NotFound(f"the probes of run {run_id} vanished from the store: somebody removed them; choose another --run-id")
    spec = RunSpec(
        run_id=run_id,
        created_at_ns=time.time_ns(),
        seed=settings.seed,
        num_iterations=settings.num_iterations,
        base_checkpoint=base,
        probes=probes_ref,
        exam=exam_ref,
        evaluation=settings.evaluation,
        planning=settings.planning,
        quality=settings.quality,
        training=settings.training,
        spending=settings.spending,
    )
    try:
        await session.runs.create(spec)
    except Rejected:
        # Somebody prepared it at the same time.
        standing = await session.runs.get(run_id)
        if replace(standing, created_at_ns=spec.created_at_ns) != spec:
            raise
        return standing
    return spec


async def _committed(session: Session, name: str) -> ArtifactRef | None:
    manifest = await session.artifacts.find(name)
    return (await session.artifacts.manifest(manifest)).files[PARQUET] if manifest else None


def _source(probes: Path | None) -> str:
    return probes.name if probes else DRAWN
