"""A small run with drawn and agent-made practice side by side: pictures in the pool, probes of the user's own, and a scripted model server.

The drawn cells are served by `rendered`; those of paintings and buildings by `agentic` alone, through real HTTP calls to a model that
really looks at the pictures.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from deploy.local.stack import LocalStack
from services.cli.record import read_records
from services.cli.run_settings import RunSettings
from services.cli.session import Target, open_session
from services.generators.rendered.candidates import make_candidates
from shared import events as e
from shared.domain import Cell, ImageCategory, QuestionType, Spend
from shared.llm.spending import BUCKET, read_spending
from shared.run_spec import SpendingSpec
from shared.tables import Sample, read_samples
from tests.chaos.small_run import RUN_ID, small_settings
from tests.pool_images import draw_picture, draw_pictures
from tests.scripted_llm import ScriptedLlm, models_toml

ROOT = Path(__file__).parents[2]
AGENTS = (ImageCategory.ARTISTIC, ImageCategory.ARCHITECTURAL)
DRAWN = (Cell(ImageCategory.GEOMETRIC, QuestionType.NUMERIC), Cell(ImageCategory.CHART_GRAPH, QuestionType.TEXT))
NUM_PICTURES = 60
NUM_PROBES = 10
_FIRST_PROBE = 900_000


@dataclass(frozen=True)
class Practice:
    """What a run left: its samples by the kind that made them, its leases, and what its model calls cost."""

    samples: dict[str, list[Sample]]
    num_requested: int
    num_answered: int
    """Leases with candidates, each counted once."""
    reviews: list[e.CandidatesReviewed]
    spending: tuple[Spend, ...]


def both_settings(directory: Path, *, num_iterations: int = 1, spending: SpendingSpec | None = None) -> RunSettings:
    """A small run on probes of paintings, buildings, figures and charts, which are written below `directory`."""
    settings = small_settings(seed=3, num_iterations=num_iterations)
    return replace(
        settings,
        probes=write_probes(directory / "probes"),
        planning=replace(settings.planning, num_samples=64, max_candidates=400),
        # Seven domains and sixty pictures to a category can't keep to the shares that suit a real pool.
        quality=replace(settings.quality, max_domain_share=0.5, max_image_share=0.1),
        spending=spending or SpendingSpec(),
    )


def write_probes(folder: Path) -> Path:
    """Probes as a user brings them: JSONL beside its images."""
    folder.mkdir(parents=True)
    rows = []
    for place, category in enumerate(AGENTS):
        for number in range(2 * NUM_PROBES):
            picture = draw_picture(_FIRST_PROBE + place * 1000 + number, category)
            colours = [colour for _, colour in picture.shapes]
            colour = sorted(set(colours))[0]
            name = f"{category.value}-{number}.png"
            (folder / name).write_bytes(picture.image)
            row = {"image": name, "category": category.value, "question": f"How many {colour} shapes are there?"}
            rows.append(row | {"question_type": "numeric", "answer": str(colours.count(colour))})
    for cell in DRAWN:
        for number, made in enumerate(make_candidates(cell, NUM_PROBES, 77, 0.4, 64)):
            name = f"{cell.category.value}-{cell.question_type.value}-{number}.png"
            (folder / name).write_bytes(made.image)
            row = {"image": name, "category": cell.category.value, "question": made.question}
            rows.append(row | {"question_type": cell.question_type.value, "answer": made.answer})
    file = folder / "probes.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def fill_pool(state_dir: Path, file: Path) -> None:
    """`spiral pool add FILE`, as a user fills the pool before the first run; the file is written."""
    rows = [
        {name: getattr(picture, name) for name in ("image", "caption", "licence", "page_url")} | {"category": picture.category.value}
        for picture in draw_pictures(NUM_PICTURES, categories=AGENTS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), file)
    command = (sys.executable, "-m", "services.cli", "pool", "add", str(file), "--state-dir", str(state_dir))
    subprocess.run(command, cwd=ROOT, check=True)


def write_models(server: ScriptedLlm, directory: Path) -> Path:
    """The models file that names the server."""
    file = directory / "models.toml"
    file.write_text(models_toml(server.url, timeout_s=20.0))
    return file


async def read_practice(state_dir: Path) -> Practice:
    """What stands once a run has ended and its stack is down; the broker alone is started to see it."""
    async with (
        LocalStack(state_dir, rooms=()) as stack,
        open_session(Target(stack.info.bus_url, stack.info.store_url, state_dir)) as session,
    ):
        events = [record.event for record in await read_records(session, RUN_ID)]
        samples: dict[str, list[Sample]] = {}
        for event in events:
            if isinstance(event, e.DatasetReady):
                files = (await session.artifacts.manifest(event.dataset)).files
                for sample in read_samples(await session.artifacts.read_bytes(files["samples.parquet"]), "samples"):
                    samples.setdefault(json.loads(sample.provenance)["generator"]["kind"], []).append(sample)
        return Practice(
            samples=samples,
            num_requested=len({event.lease.lease_id for event in events if isinstance(event, e.GenerationRequested)}),
            num_answered=len({event.lease.lease_id for event in events if isinstance(event, e.CandidatesGenerated)}),
            reviews=[event for event in events if isinstance(event, e.CandidatesReviewed)],
            spending=await read_spending(await session.bus.bucket(BUCKET), RUN_ID),
        )
