"""What the images are made of."""

import json
import subprocess

import pytest

from tests.e2e.compose_stack import ROOMS, TORCH_ROOMS
from tests.e2e.conftest import TAG

MAX_NUM_BYTES = 350_000_000
CODE = {
    "evaluator": {"evaluator"},
    "attributor": {"attributor"},
    "planner": {"planner"},
    "generators-rendered": {"generators"},
    "generators-agentic": {"generators"},
    "quality": {"quality"},
    "trainer": {"trainer"},
    "spiral": {"cli"},
}

pytestmark = pytest.mark.usefixtures("images")


def look(room: str, expression: str) -> str:
    """What Python prints inside a room's image, as it would run in the stack."""
    contained = ["--rm", "--read-only", "--cap-drop=ALL", "--network=none"]
    program = f"import os, sys; from pathlib import Path; print({expression})"
    command = ["docker", "run", *contained, "--entrypoint", "python", f"spiral/{room}:{TAG}", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("room", [*ROOMS, "spiral"])
def test_a_room_runs_without_rights_and_holds_nothing_but_its_own(room: str) -> None:
    (image,) = json.loads(subprocess.run(["docker", "image", "inspect", f"spiral/{room}:{TAG}"], capture_output=True, check=True).stdout)
    assert image["Config"]["User"] == "10001:10001"
    assert image["Config"]["Entrypoint"][0] == "python"
    if room not in TORCH_ROOMS:
        assert image["Size"] < MAX_NUM_BYTES
        assert look(room, "any((Path(path) / 'torch').exists() for path in sys.path)") == "False"
    assert look(room, "os.getuid(), os.access('/app', os.W_OK), os.access('/work', os.W_OK)") == "10001 False False"
    rooms = look(room, "sorted(path.name for path in Path('/app/services').iterdir() if path.is_dir() and path.name != '__pycache__')")
    assert set(json.loads(rooms.replace("'", '"'))) == CODE[room]
    if room != "spiral":
        # Without an environment it says what is missing, in a line, and with the exit code of a wrong setting.
        refused = subprocess.run(["docker", "run", "--rm", f"spiral/{room}:{TAG}"], capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert "SPIRAL_STORE_URL" in refused.stdout + refused.stderr
