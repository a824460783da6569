"""How well the agents' calls overlap: 100 leases at one second per call to a language model, against the sum of all calls.

The agentic generator runs as a process of its own beside a real broker. A scripted endpoint answers every call after a second, by looking
at the pictures; the asker errs in every tenth question and the blind reader in every twentieth, so that some are revised and some refused.

    python -m tests.bench.bench_agentic [--leases 100] [--candidates 4] [--delay 1.0]
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.local.stack import LocalStack
from services.cli.session import Session, Target, open_session
from services.generators.agentic.request import CELLS
from services.generators.candidate_identity import candidates_name
from shared.catalogue import Room
from shared.domain import Lease, Recipe, Spend
from shared.events import CandidatesGenerated, GenerationRequested
from shared.history import follow
from shared.publisher import publish_event
from shared.run_spec import SpendingSpec
from shared.telemetry import configure_logs
from tests.examples import CAUSE, model, run_spec
from tests.pool_images import draw_pictures, fill_pool
from tests.rooms import eventually
from tests.scripted_llm import ScriptedLlm, models_toml
from tests.scripted_llm.sighted import Sighted

RUN_ID = "bench"
PICTURES_PER_CATEGORY = 60
USD_PER_MILLION_INPUT, USD_PER_MILLION_OUTPUT = 0.40, 1.60
"""As `deploy/models/models.example.toml` has it."""
ERRORS = {"MultipleChoiceItem": 0.1, "NumericItem": 0.1, "TextItem": 0.1, "Solution": 0.05}


@dataclass
class Figures:
    """What was measured."""

    wall_s: float = 0.0
    num_calls: int = 0
    num_candidates: int = 0
    max_in_flight: int = 0
    spent: Counter[str] = field(default_factory=Counter)
    """Dollars by role."""
    failures: Counter[str] = field(default_factory=Counter)


def leases(num_leases: int, num_candidates: int) -> list[Lease]:
    """One after another of every cell."""
    return [
        Lease(
            f"l{number}",
            CELLS[number % len(CELLS)],
            Recipe.TEACH,
            "agentic",
            number,
            num_candidates,
            num_candidates,
            number,
            0.5,
            192,
            model(RUN_ID),
        )
        for number in range(num_leases)
    ]


async def measure(directory: Path, num_leases: int, num_candidates: int, delay_s: float) -> Figures:
    """Runs the leases."""
    figures = Figures()
    with ScriptedLlm(Sighted(errors=ERRORS), delay_s=delay_s) as llm:
        models_file = directory / "models.toml"
        prices = {"usd_per_million_input_tokens": USD_PER_MILLION_INPUT, "usd_per_million_output_tokens": USD_PER_MILLION_OUTPUT}
        models_file.write_text(models_toml(llm.url, embed=None, edit_image=None, timeout_s=60.0, max_in_flight=128, **prices))  # type: ignore[arg-type]
        environment = {"SPIRAL_MODELS_FILE": str(models_file), "SPIRAL_POOL_REFRESH_S": "0.5"}
        async with LocalStack(directory / "state", rooms=("generators.agentic",), environment=environment) as stack:
            await stack.ready()
            async with open_session(Target(stack.info.bus_url, stack.info.store_url, directory)) as session:
                await session.runs.create(replace(run_spec(RUN_ID), spending=SpendingSpec(max_calls=1_000_000, max_cost_usd=1_000.0)))
                await fill_pool(session.artifacts, draw_pictures(PICTURES_PER_CATEGORY))
                await eventually(session.generators.living, 60)
                asked = leases(num_leases, num_candidates)
                started = time.monotonic()
                for lease in asked:
                    event = GenerationRequested(RUN_ID, 1, lease)
                    await publish_event(session.bus, Room.PLANNER, replace(CAUSE, event_id=f"plan-{lease.lease_id}"), event)
                await _follow(session, figures, num_leases)
                figures.wall_s = time.monotonic() - started
                for lease in asked:
                    ref = await session.artifacts.find(candidates_name(RUN_ID, 1, lease.lease_id))
                    assert ref is not None
                    for failure in (await session.artifacts.manifest(ref)).metadata["failures"]:
                        figures.failures[f"{failure['role']}: {failure['reason']}"] += failure["count"]
        figures.num_calls, figures.max_in_flight = len(llm.requests), llm.max_in_flight_seen
    return figures


async def _follow(session: Session, figures: Figures, num_leases: int) -> None:
    num_seen = 0
    async with aclosing(follow(session.bus, RUN_ID)) as events:
        async for _, event, _ in events:
            if isinstance(event, CandidatesGenerated):
                num_seen += 1
                figures.num_candidates += event.num_candidates
                _add(figures, event.spent)
                if num_seen == num_leases:
                    return


def _add(figures: Figures, spent: tuple[Spend, ...]) -> None:
    for one in spent:
        figures.spent[one.role] += one.cost_usd  # type: ignore[assignment]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leases", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=4, help="asked for by each lease")
    parser.add_argument("--delay", type=float, default=1.0, help="seconds per call")
    arguments = parser.parse_args()
    configure_logs("bench", "bench", level="error", is_json=False)
    with tempfile.TemporaryDirectory(prefix="spiral-agentic-") as scratch:
        figures = asyncio.run(measure(Path(scratch), arguments.leases, arguments.candidates, arguments.delay))
    asked, sum_s, usd = arguments.leases * arguments.candidates, figures.num_calls * arguments.delay, sum(figures.spent.values())
    print(f"{arguments.leases} leases of {arguments.candidates}: {figures.num_candidates} of {asked} candidates made")
    print(f"wall clock {figures.wall_s:.1f} s; sum of {figures.num_calls} calls {sum_s:.0f} s; overlap {sum_s / figures.wall_s:.1f}")
    print(f"calls per candidate {figures.num_calls / max(1, figures.num_candidates):.2f}; at most {figures.max_in_flight} at a time")
    print(f"{usd:.3f} USD, {1000 * usd / max(1, figures.num_candidates):.2f} USD per 1,000 candidates")
    print(json.dumps({"failures": dict(figures.failures), "usd": {role: round(cost, 4) for role, cost in sorted(figures.spent.items())}}))


if __name__ == "__main__":
    main()
