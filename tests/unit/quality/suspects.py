"""Drawn candidates of the tests' own, and what can be done to them."""

import hashlib
import io
import json
from dataclasses import replace
from typing import Any

from PIL import Image, ImageDraw

from services.quality.checks import Known, refuse
from services.quality.evidence import UNJUDGED, Caps, Evidence, Terms
from services.quality.fingerprint_index import FingerprintIndex
from services.quality.fingerprints import Fingerprint
from services.quality.firewall import Firewall, FirewallItem
from shared.domain import Candidate, Cell, ImageCategory, Lease, QuestionType, Recipe, RejectionReason
from tests.examples import model

NUMERIC = Cell(ImageCategory.GEOMETRIC, QuestionType.NUMERIC)
CHOICE = Cell(ImageCategory.GEOMETRIC, QuestionType.MULTIPLE_CHOICE)
CAPS = Caps(max_image_bytes=300_000, max_image_pixels=1_000_000)
COLORS = {"red": (215, 40, 40), "blue": (45, 90, 220), "green": (40, 160, 60), "purple": (150, 55, 185)}


def name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def drawing(number: int, side: int = 64) -> Image.Image:
    """A field of 6 × 6 dots whose colours spell a number."""
    image = Image.new("RGB", (side, side), "white")
    pen, step, palette = ImageDraw.Draw(image), side / 6, [*COLORS.values(), None]
    digits = int(name(f"drawing {number}"), 16)
    for dot in range(36):
        digits, choice = divmod(digits, len(palette))
        x, y, fill = dot % 6 * step, dot // 6 * step, palette[choice]
        if fill is not None:
            pen.ellipse((x + 1, y + 1, x + step - 2, y + step - 2), fill=fill)
    return image


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def scene(query: dict[str, Any], *objects: dict[str, Any], category: str = "geometric") -> str:
    return json.dumps({"schema": "spiral.scene/1", "category": category, "template": "dots", "objects": objects, "query": query})


def candidate(number: int = 0, **changes: Any) -> Candidate:
    """A count of red dots, rightly labelled; the number makes the picture."""
    count = number % 7 + 1
    made = Candidate(
        candidate_id=name(f"candidate {number}"),
        cell=NUMERIC,
        image=encoded(drawing(number)),
        question="How many red dots are there?",
        choices=(),
        answer=str(count),
        tolerance=0.0,
        scene=scene(
            {"op": "count", "where": {"color": "red"}},
            *({"id": f"d{i}", "color": "red"} for i in range(count)),
            {"id": "b", "color": "blue"},
        ),
        provenance='{"licence":"CC0-1.0 generated"}',
    )
    return replace(made, **changes)


def lease(ordinal: int = 1, *, recipe: Recipe = Recipe.TEACH, num_wanted: int = 100, cell: Cell = NUMERIC, iteration: int = 1) -> Lease:
    return Lease(
        lease_id=f"r1.{iteration}.{cell.category.value}.{cell.question_type.value}.{ordinal}",
        cell=cell,
        recipe=recipe,
        kind="rendered",
        ordinal=ordinal,
        num_candidates=100,
        num_wanted=num_wanted,
        seed=ordinal,
        difficulty=0.5,
        image_size_px=64,
        base_model=model("r1"),
    )


def mark(made: Candidate) -> Fingerprint:
    return Evidence(made, made.cell, CAPS).fingerprint


def known(
    *, probes: tuple[Candidate, ...] = (), earlier: tuple[Candidate, ...] = (), benchmarks: tuple[tuple[Candidate, ...], ...] = ()
) -> Known:
    standing = FingerprintIndex((each.candidate_id, mark(each)) for each in earlier)
    return Known(wall("probe", probes), (standing,), tuple(wall("item of benchmark b", group) for group in benchmarks))


def wall(what: str, items: tuple[Candidate, ...]) -> Firewall:
    return Firewall([FirewallItem(f"{what} {each.candidate_id}", mark(each)) for each in items])


def reason_of(made: Candidate, what: Known | None = None, cell: Cell | None = None, terms: Terms = UNJUDGED) -> RejectionReason | None:
    refusal = refuse(Evidence(made, cell or made.cell, CAPS, terms), what or known())
    return refusal.reason if refusal else None


JUDGED = Terms(solvers=("seer", "reader"), num_solvers=2, lacking="")


def provenance(**changes: Any) -> str:
    """What the maker of a found image says of it; changes of `source` go into the source."""
    source = {
        "origin": "web",
        "image_sha256": name("source"),
        "url": "https://images.test/a.png",
        "page_url": "https://pages.test/a",
        "domain": "pages.test",
        "licence": "CC-BY-4.0",
        "caption": "dots",
        "retrieved_at": "2026-01-01T00:00:00Z",
    }
    told = {
        "generator": {"kind": "agentic", "version": "1.0.0"},
        "seed": 1,
        "licence": "CC-BY-4.0",
        "task": "make",
        "source": source | changes.pop("source", {}),
        "edits": [],
        "models": {"ask": "asker", "solve": "solver"},
        "spent": [],
        "calls": [],
        "blueprint": {},
    }
    return json.dumps(told | changes)


def found(number: int = 0, source: dict[str, Any] | None = None, **changes: Any) -> Candidate:
    """A candidate on a found image, without a scene, with a source image of its own."""
    told = provenance(source={"image_sha256": name(f"source {number}"), "domain": f"site{number}.test"} | (source or {}))
    return candidate(number, **{"scene": "", "provenance": told} | changes)
