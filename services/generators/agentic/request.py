"""What may be asked of the agentic generator."""

from shared.domain import Cell, ImageCategory, QuestionType
from shared.errors import Rejected

CELLS: tuple[Cell, ...] = tuple(Cell(category, question_type) for category in ImageCategory for question_type in QuestionType)
MAX_CANDIDATES = 10_000
"""Of one lease; how many are made of it at most is a setting."""


def check_request(num: int, difficulty: float, image_size_px: int) -> None:
    """Refuses what can't be made.

    Raises:
        Rejected: a value is out of range.
    """
    if not 0 <= num <= MAX_CANDIDATES or not 0 <= difficulty <= 1 or not 32 <= image_size_px <= 2048:
        asked = f"{num} candidates, difficulty {difficulty}, image_size_px {image_size_px}"
        raise Rejected(f"{asked}: must be at most {MAX_CANDIDATES} candidates, difficulty in [0, 1], image_size_px in [32, 2048]")
