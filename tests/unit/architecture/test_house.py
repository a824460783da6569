"""The house stays as it was built: names, bones, settings, sizes."""

import ast
import subprocess
from pathlib import Path

import pytest

from shared.catalogue import Room

ROOT = Path(__file__).parents[3]
SOURCES = sorted(path for folder in ("shared", "services", "deploy", "tests") for path in (ROOT / folder).rglob("*.py"))
ROOMS = {
    Room.EVALUATOR: "evaluator",
    Room.ATTRIBUTOR: "attributor",
    Room.PLANNER: "planner",
    Room.GENERATORS: "generators/rendered",
    Room.QUALITY: "quality",
    Room.TRAINER: "trainer",
}
# The embedded stack hands its own environment on to its children; the training process sets that of the libraries it is about to load.
MAY_TOUCH_THE_ENVIRONMENT = {"deploy/local/stack.py", "deploy/local/environment.py", "services/trainer/training_process.py"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_named_for_being_leftovers() -> None:
    refused = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert not [name_of(path) for path in SOURCES if refused & {*path.relative_to(ROOT).parent.parts, path.stem}]


@pytest.mark.parametrize("room", ROOMS.values())
def test_every_room_has_the_same_bones(room: str) -> None:
    folder = ROOT / "services" / room
    missing = [name for name in ("__main__.py", "service.py", "settings.py", "README.md") if not (folder / name).is_file()]
    assert not missing
    main = (folder / "__main__.py").read_text()
    assert len(main.splitlines()) < 10
    assert f"python -m services.{room.replace('/', '.')}" in main


def test_only_settings_read_the_environment() -> None:
    strays = []
    for path in SOURCES:
        if name_of(path).startswith("tests/") or name_of(path) in MAY_TOUCH_THE_ENVIRONMENT:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
                strays.append(f"{name_of(path)}:{node.lineno}")
    assert not strays


def test_only_the_runtime_catches_everything() -> None:
    allowed = {"shared/runtime.py", "shared/run_watch.py", "shared/rpc.py", "shared/delivery.py"}
    strays = []
    for path in SOURCES:
        if name_of(path) in allowed or name_of(path).startswith("tests/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            # Cleaning up and raising again swallows nothing.
            if isinstance(node, ast.ExceptHandler) and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None):
                names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"everything"}
                if names & {"Exception", "BaseException", "everything"}:
                    strays.append(f"{name_of(path)}:{node.lineno}")
    assert not strays


def test_a_file_can_be_read_in_one_sitting() -> None:
    assert not [name_of(path) for path in SOURCES if len(path.read_text(encoding="utf-8").splitlines()) > 400]


def test_tests_patch_nothing() -> None:
    words = ("monkey" + "patch", "mock." + "patch", "import " + "mock", "@" + "patch")
    assert not [name_of(path) for path in SOURCES if name_of(path).startswith("tests/") and any(word in path.read_text() for word in words)]


def test_nothing_is_left_to_do_in_a_comment() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    assert not [name_of(path) for path in SOURCES if any(mark in path.read_text(encoding="utf-8") for mark in marks)]


def test_what_is_generated_locally_is_not_committed() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert not [
        name for name in listed if "__pycache__" in name or name.startswith((".venv/", ".tools/", ".spiral/")) or name.endswith(".env")
    ]
