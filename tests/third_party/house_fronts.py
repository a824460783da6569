"""House fronts with questions on them: what the third-party generator makes, as Parquet with the documented columns and scenes."""

import hashlib
import io
import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw
from spiral.v1 import types_pb2

KIND, VERSION = "thirdparty", "0.3.0"
COLORS = {"red": (200, 40, 40), "green": (40, 140, 60), "blue": (50, 80, 190), "yellow": (235, 205, 60), "brown": (120, 75, 40)}
NUMERIC, TEXT, CHOICE = types_pb2.QUESTION_TYPE_NUMERIC, types_pb2.QUESTION_TYPE_TEXT, types_pb2.QUESTION_TYPE_MULTIPLE_CHOICE
CELLS = [types_pb2.Cell(category=types_pb2.IMAGE_CATEGORY_ARCHITECTURAL, question_type=each) for each in (NUMERIC, TEXT, CHOICE)]
TEXTS = ("candidate_id", "category", "question_type", "question", "answer", "scene", "provenance")
COLUMNS = pa.schema(
    [*((name, pa.string()) for name in TEXTS), ("image", pa.binary()), ("choices", pa.list_(pa.string())), ("tolerance", pa.float64())]
)


def draw_house(rng: random.Random, difficulty: float, size_px: int) -> tuple[bytes, list[dict[str, Any]]]:
    """A house front as PNG, and what is to be seen on it."""
    image = Image.new("RGB", (size_px, size_px), tuple(rng.randint(150, 255) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    roof, door = rng.sample(sorted(COLORS), 2)
    left, top, right = rng.uniform(0.05, 0.2), rng.uniform(0.2, 0.35), rng.uniform(0.8, 0.95)

    def box(x0: float, y0: float, x1: float, y1: float, color: tuple[int, ...]) -> None:
        draw.rectangle([round(x0 * size_px), round(y0 * size_px), round(x1 * size_px) - 1, round(y1 * size_px) - 1], fill=color)

    draw.polygon([(round(x * size_px), round(y * size_px)) for x, y in ((left, top), (0.5, 0.03), (right, top))], fill=COLORS[roof])
    box(left, top, right, 1, tuple(rng.randint(90, 190) for _ in range(3)))
    box(0.44, 0.84, 0.56, 1, COLORS[door])
    objects: list[dict[str, Any]] = [{"id": "roof", "kind": "roof", "color": roof}, {"id": "door", "kind": "door", "color": door}]
    num_floors, num_columns = 2 + round(difficulty), 3 + round(2 * difficulty)
    height, width = (0.8 - top) / num_floors, (right - left) / num_columns
    for at in range(num_floors * num_columns):
        floor, column = divmod(at, num_columns)
        is_lit = rng.random() < 0.5
        x, y = left + column * width, top + floor * height
        box(x + 0.25 * width, y + 0.3 * height, x + 0.8 * width, y + 0.9 * height, (255, 240, 150) if is_lit else (25, 25, 45))
        objects.append({"id": f"window {at}", "kind": "window", "floor": num_floors - floor, "state": "lit" if is_lit else "dark"})
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue(), objects


def make_candidate(lease: types_pb2.Lease, index: int) -> dict[str, Any]:
    """One row; the same lease and index make the same row."""
    rng = random.Random(f"{lease.seed}/{lease.lease_id}/{index}")
    image, objects = draw_house(rng, lease.difficulty, lease.image_size_px)
    choices: list[str] = []
    if lease.cell.question_type == NUMERIC:
        question, query = "How many windows are lit?", {"op": "count", "where": {"kind": "window", "state": "lit"}}
        answer = str(sum(each.get("state") == "lit" for each in objects))
    else:
        part = rng.choice(objects[:2])
        question = f"What color is the {part['kind']}?"
        query = {"op": "attribute", "where": {"kind": part["kind"]}, "name": "color"}
        answer = part["color"]
    if lease.cell.question_type == CHOICE:
        choices = [answer, *rng.sample(sorted({*COLORS} - {answer}), 3)]
        rng.shuffle(choices)
        answer = "ABCD"[choices.index(answer)]
    scene = {"schema": "spiral.scene/1", "category": "architectural", "template": "house front", "objects": objects, "query": query}
    provenance = {"generator": {"kind": KIND, "version": VERSION}, "seed": lease.seed, "index": index, "licence": "CC0-1.0"}
    return {
        "candidate_id": hashlib.sha256(image + json.dumps([question, choices, answer]).encode()).hexdigest(),
        "category": "architectural",
        "question_type": types_pb2.QuestionType.Name(lease.cell.question_type).removeprefix("QUESTION_TYPE_").lower(),
        "image": image,
        "question": question,
        "choices": choices,
        "answer": answer,
        "tolerance": 0.0,
        "scene": json.dumps(scene),
        "provenance": json.dumps(provenance),
    }


def make_parquet(lease: types_pb2.Lease) -> tuple[bytes, int]:
    """All candidates of a lease as Parquet, and how many they are; none where the cell is not served."""
    rows = [make_candidate(lease, index) for index in range(lease.num_candidates)] if lease.cell in CELLS else []
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=COLUMNS), file)
    return file.getvalue(), len(rows)
