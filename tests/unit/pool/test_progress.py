"""How an add says how far it is."""

from collections import Counter

import pytest
from rich.console import Console

from services.cli.pool_add import Tally
from services.cli.pool_progress import Pace, progress_line, shown

TALLY = Tally(num_looked_at=1500, num_added=1200, num_known=200, num_repeated=50, refused=Counter(image_undecodable=50))


@pytest.mark.parametrize(
    ("total", "rate", "line"),
    [
        (4500, 100.0, "1,500 of 4,500 images, 100 images/s, 30 s left: 1,200 added, 250 known, 50 refused"),
        (1500, 100.0, "1,500 of 1,500 images, 100 images/s: 1,200 added, 250 known, 50 refused"),
        (4500, 0.0, "1,500 of 4,500 images, 0 images/s: 1,200 added, 250 known, 50 refused"),
    ],
)
def test_the_line(total: int, rate: float, line: str) -> None:
    assert progress_line(TALLY, total, rate) == line


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    assert pace.look(0, 100.0) == 0
    assert pace.look(50, 101.0) == 50
    # Known images were skipped fast; now new ones are decoded.
    for second in range(102, 160):
        rate = pace.look(50 + 10 * (second - 101), float(second))
    assert rate == pytest.approx(10)


async def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(force_terminal=True, width=160)
    async with shown(TALLY, 4500, console):
        pass
    assert "1,500 of 4,500 images" in capsys.readouterr().out
