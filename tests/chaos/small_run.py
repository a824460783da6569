"""A small run of the whole spiral on an embedded stack, each room its own process, some of them killed on the way.

    python -m tests.chaos.small_run [--rounds 10] [--kills 7] [--iterations 2] [--seed 0] [--model DIR]

turns it once undisturbed, then once for each round with rooms killed at random moments, and prints what became of each.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local.stack import ROOMS, LocalStack
from services.cli.preparation import check_run, prepare_run
from services.cli.probe_sets import draw_probes
from services.cli.record import read_records
from services.cli.run_app import SHIPPED_MODEL
from services.cli.run_command import living_generators
from services.cli.run_settings import ProbeCounts, RunSettings
from services.cli.session import Session, Target, open_session
from shared import events as e
from shared.catalogue import Stream
from shared.envelope import unseal
from shared.history import follow, row_of, scan
from shared.run_spec import EvaluationSpec, PlanningSpec, QualitySpec, RunSpec, TrainingSpec
from shared.tables import Probe, read_samples

RUN_ID = "chaos"
BROKER = "nats-server"
VICTIMS = (*ROOMS, BROKER)
TIMEOUT_S = 900.0

# Rooms that die leave their events to their successors after this wait.
ENVIRONMENT = {"SPIRAL_ACK_WAIT_S": "5", "SPIRAL_MAX_BACKOFF_S": "2"}


@dataclass(frozen=True)
class Kill:
    """SIGKILL to a room or the broker, so long after the run's events first numbered `after_events`, or when the next one comes."""

    victim: str
    after_events: int
    delay_s: float


@dataclass(frozen=True)
class Outcome:
    """What a run left behind, by iteration."""

    sealed: dict[int, list[str]]
    """The sample ids of the dataset, in its order."""
    accepted: dict[int, list[str]]
    """The candidate ids that reviews accepted, sorted; one that was accepted twice stands here twice."""
    num_wanted: dict[int, int]
    num_updates: dict[int, int]
    """Messages of `model.updated` that the stream holds."""
    finished: e.RunFinished
    dead_letters: int
    killed: list[str]
    moments_s: list[float] = field(compare=False)
    """When each event was first seen, from the start; progress aside."""

    @property
    def duration_s(self) -> float:
        """From the announcement to the end."""
        return self.moments_s[-1]


def small_settings(*, seed: int, num_iterations: int, model: Path = SHIPPED_MODEL) -> RunSettings:
    """Few probes, few samples, short trainings: what a run does stays, how long it takes does not."""
    return RunSettings(
        model=model,
        probes=None,
        seed=seed,
        num_iterations=num_iterations,
        counts=ProbeCounts(core=3, fresh=2, exam=1),
        evaluation=EvaluationSpec(num_samples_per_probe=2),
        planning=PlanningSpec(num_samples=96, max_candidates=400, lease_size=8),
        quality=QualitySpec(num_rollouts=4),
        training=TrainingSpec(
            sft_epochs=2, sft_batch_size=16, grpo_batch_size=32, grpo_num_generations=4, grpo_max_steps=4, save_every_steps=2
        ),
    )


def as_options(settings: RunSettings) -> list[str]:
    """The options of `spiral run` that ask for the same; the model is the shipped one."""
    defaults = {"evaluation": EvaluationSpec(), "planning": PlanningSpec(), "quality": QualitySpec(), "training": TrainingSpec()}
    options = ["--iterations", str(settings.num_iterations), "--seed", str(settings.seed)]
    options += ["--core-per-cell", str(settings.counts.core), "--fresh-per-cell", str(settings.counts.fresh)]
    options += ["--exam-per-cell", str(settings.counts.exam)]
    named = {"num_samples": "--samples", "max_candidates": "--max-candidates"}
    for section, default in defaults.items():
        for name, value in asdict(getattr(settings, section)).items():
            if value != getattr(default, name):
                options += [named[name], str(value)] if name in named else ["--set", f"{section}.{name}={value}"]
    return options


def plan_kills(undisturbed: Outcome, *, num_kills: int, seed: int) -> list[Kill]:
    """Kills spread evenly at random over a run's time; everyone is hit once before anyone is hit again."""
    rng = random.Random(f"kills/{seed}")
    victims: list[str] = []
    while len(victims) < num_kills:
        victims += rng.sample(VICTIMS, len(VICTIMS))
    kills = []
    for victim in victims[:num_kills]:
        moment_s = rng.uniform(0.0, 0.85 * undisturbed.duration_s)
        past = [seen_s for seen_s in undisturbed.moments_s if seen_s <= moment_s]
        kills.append(Kill(victim, len(past), moment_s - (past[-1] if past else 0.0)))
    return kills


async def turn(
    state_dir: Path, settings: RunSettings, *, kills: Sequence[Kill] = (), environment: Mapping[str, str] = ENVIRONMENT
) -> Outcome:
    """Runs to the end, killing on the way, and reads what stands then; `environment` holds settings for every room.

    Raises:
        TimeoutError: it did not end in 15 minutes.
        ChildFailed: a room does not come up again.
    """
    async with LocalStack(state_dir, environment=environment, announce=_say) as stack:
        await stack.ready()
        async with open_session(Target(stack.info.bus_url, stack.info.store_url, state_dir)) as session:
            turning = asyncio.create_task(_turn(session, stack, settings, kills))
            failing = asyncio.create_task(stack.wait())
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await asyncio.wait({turning, failing}, return_when=asyncio.FIRST_COMPLETED)
                    if failing.done():
                        failing.result()
                    return await turning
            finally:
                turning.cancel()
                failing.cancel()
                await asyncio.gather(turning, failing, return_exceptions=True)


async def _turn(session: Session, stack: LocalStack, settings: RunSettings, kills: Sequence[Kill]) -> Outcome:
    async def draw() -> Sequence[Probe]:
        return await draw_probes(
            await living_generators(session),
            seed=settings.seed,
            num_iterations=settings.num_iterations,
            counts=settings.counts,
            image_size_px=settings.planning.image_size_px,
            report=lambda done, total: None,
        )

    spec = await prepare_run(session, check_run(settings, RUN_ID), draw, _say)
    started = time.monotonic()
    moments_s: list[float] = []
    killed: list[str] = []
    due = sorted(kills, key=lambda kill: kill.after_events)
    striking: list[tuple[Kill, asyncio.Event, asyncio.Task[None]]] = []
    async for _, event, _ in follow(session.bus, spec.run_id):
        if isinstance(event, e.TrainingProgressed):
            continue
        moments_s.append(time.monotonic() - started)
        for kill, now, _ in striking:
            if kill.after_events < len(moments_s):
                now.set()
        while due and due[0].after_events <= len(moments_s):
            now = asyncio.Event()
            striking.append((due[0], now, asyncio.create_task(_strike(stack, due.pop(0), now, killed))))
        if isinstance(event, e.RunFinished):
            break
    for *_, task in striking:
        task.cancel()
    await asyncio.gather(*(task for *_, task in striking), return_exceptions=True)
    return await read_outcome(session, spec, killed, moments_s)


async def _strike(stack: LocalStack, kill: Kill, now: asyncio.Event, killed: list[str]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(now.wait(), kill.delay_s)
    while True:
        info = stack.info
        pid = info.broker_pid if kill.victim == BROKER else next(room.pid for room in info.rooms if room.name == kill.victim)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.append(kill.victim)
                return
        await asyncio.sleep(0.05)


async def read_outcome(session: Session, spec: RunSpec, killed: list[str], moments_s: list[float]) -> Outcome:
    """What stands in streams and store once a run has ended."""
    records = [record.event for record in await read_records(session, spec.run_id)]
    sealed: dict[int, list[str]] = {}
    for event in records:
        if isinstance(event, e.DatasetReady):
            manifest = await session.artifacts.manifest(event.dataset)
            payloads = [
                await session.artifacts.read_bytes(ref) for path, ref in sorted(manifest.files.items()) if path.endswith(".parquet")
            ]
            sealed[event.iteration] = [sample.sample_id for payload in payloads for sample in read_samples(payload, manifest.name)]
    accepted: dict[int, list[str]] = {}
    for event in records:
        if isinstance(event, e.CandidatesReviewed):
            accepted.setdefault(event.iteration, []).extend(verdict.candidate_id for verdict in event.verdicts if verdict.accepted)
    updates: Counter[int] = Counter()
    async for stored in scan(session.bus, Stream.CONTROL, [f"model.updated.{spec.run_id}"]):
        updates[unseal(row_of(stored.subject), stored.subject, stored.headers, stored.payload).iteration] += 1
    return Outcome(
        sealed=sealed,
        accepted={iteration: sorted(ids) for iteration, ids in accepted.items()},
        num_wanted={event.iteration: event.num_samples for event in records if isinstance(event, e.MixturePlanned)},
        num_updates=dict(updates),
        finished=next(event for event in records if isinstance(event, e.RunFinished)),
        dead_letters=await session.num_dead_letters(),
        killed=killed,
        moments_s=moments_s,
    )


def _say(text: str) -> None:
    sys.stderr.write(f"    {time.strftime('%H:%M:%S')} {text}\n")


def complaints(outcome: Outcome, undisturbed: Outcome, settings: RunSettings) -> list[str]:
    """What a disturbed run got wrong, in words; empty where the kills changed nothing."""
    found = []
    for iteration, ids in outcome.sealed.items():
        if len(set(ids)) != len(ids):
            found.append(f"iteration {iteration}: {len(ids) - len(set(ids))} samples stand twice in the dataset")
        if sorted(ids) != outcome.accepted[iteration]:
            found.append(
                f"iteration {iteration}: the dataset holds {len(ids)} samples, the reviews accepted {len(outcome.accepted[iteration])}"
            )
    if outcome.sealed != undisturbed.sealed:
        found.append("the datasets differ from the undisturbed run's")
    if outcome.num_updates != dict.fromkeys(range(settings.num_iterations + 1), 1):
        found.append(f"model.updated per iteration: {outcome.num_updates}")
    ends = [(run.finished.reason, run.finished.champion.model_id) for run in (outcome, undisturbed)]
    if ends[0] != ends[1]:
        found.append(f"it ended with {ends[0]}, not {ends[1]}")
    if outcome.dead_letters:
        found.append(f"{outcome.dead_letters} dead letters")
    return found


def main() -> int:
    """Turns the rounds; the exit code is 1 where a kill changed an outcome."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.small_run", description="Kill rooms at random moments of small runs.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kills", type=int, default=len(VICTIMS), help="per round; everyone is hit once before anyone is hit again")
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="a checkpoint directory")
    parser.add_argument("--keep", type=Path, help="keep the state directories below this one")
    arguments = parser.parse_args()
    settings = small_settings(seed=arguments.seed, num_iterations=arguments.iterations, model=arguments.model)
    num_changed = 0
    with tempfile.TemporaryDirectory(prefix="spiral-chaos-") as scratch:
        root = arguments.keep or Path(scratch)
        undisturbed = asyncio.run(turn(root / "undisturbed", settings))
        num_sealed = {iteration: len(ids) for iteration, ids in undisturbed.sealed.items()}
        print(f"undisturbed: {undisturbed.duration_s:.0f} s, samples by iteration {num_sealed}", flush=True)
        for number in range(arguments.rounds):
            kills = plan_kills(undisturbed, num_kills=arguments.kills, seed=number)
            outcome = asyncio.run(turn(root / f"round-{number}", settings, kills=kills))
            wrong = complaints(outcome, undisturbed, settings)
            num_changed += bool(wrong)
            print(
                f"round {number}: {outcome.duration_s:.0f} s, killed {', '.join(outcome.killed)}: {'; '.join(wrong) or 'same outcome'}",
                flush=True,
            )
    return 1 if num_changed else 0


if __name__ == "__main__":
    sys.exit(main())
