"""The compose file and the environment that `make compose-env` writes for it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.generators.agentic.settings import AgenticSettings
from shared.settings import RoomSettings

ROOT = Path(__file__).parents[3]
ROOMS = {
    "evaluator": "EVALUATOR",
    "attributor": "ATTRIBUTOR",
    "planner": "PLANNER",
    "generators-rendered": "GENERATORS",
    "generators-agentic": "GENERATORS",
    "quality": "QUALITY",
    "trainer": "TRAINER",
    "spiral": "CLI",
    "evaluator-gpu": "EVALUATOR",
    "trainer-gpu": "TRAINER",
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    text = (ROOT / "docker-compose.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def make_env(file: Path) -> dict[str, str]:
    """Runs `make compose-env`'s command, and reads the file back."""
    reports = file.parent / "reports"
    subprocess.run(
        [sys.executable, "-m", "deploy.compose", str(file), "--reports", str(reports)], cwd=ROOT, check=True, capture_output=True
    )
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) == len({line.split("=")[0] for line in lines})
    return dict(line.split("=", 1) for line in lines)


def test_credentials_are_random_private_and_enough(tmp_path: Path, services: dict[str, Any]) -> None:
    one, other = make_env(tmp_path / "one" / ".env"), make_env(tmp_path / "other" / ".env")
    assert (tmp_path / "one" / ".env").stat().st_mode & 0o777 == 0o600
    secrets = {name: value for name, value in one.items() if re.search("PASSWORD|SECRET", name)}
    assert len({*secrets.values(), *(other[name] for name in secrets)}) == 2 * len(secrets)
    # The broker takes a word that begins with a digit for a number, and URLs have no room for more.
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]{32,}", value) for value in secrets.values())
    assert set(re.findall(r"\$\{(\w+):\?", str(services))) <= set(one)


def test_what_stands_is_never_overwritten(tmp_path: Path) -> None:
    first = make_env(tmp_path / ".env")
    text = (tmp_path / ".env").read_text().replace("COMPOSE_PROFILES=cpu", "COMPOSE_PROFILES=gpu")
    kept = [line for line in text.splitlines() if not line.startswith("NATS_QUALITY_PASSWORD")]
    (tmp_path / ".env").write_text("\n".join([*kept, "SPIRAL_TAG=mine"]))
    second = make_env(tmp_path / ".env")
    assert second.pop("NATS_QUALITY_PASSWORD") != first.pop("NATS_QUALITY_PASSWORD")
    assert second == {**first, "COMPOSE_PROFILES": "gpu", "SPIRAL_TAG": "mine"}


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_knows_its_own_password_alone_and_has_no_rights(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert set(re.findall(r"NATS_\w+_PASSWORD", str(service))) == {f"NATS_{ROOMS[name]}_PASSWORD"}
    user = {"CLI": "cli"}.get(ROOMS[name], ROOMS[name].lower())
    assert service["environment"]["SPIRAL_BUS_URL"].startswith(f"nats://{user}:")
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "restart" in service
    assert "ports" not in service


@pytest.mark.parametrize("name", [name for name in ROOMS if name != "spiral"])
def test_a_room_is_given_longer_than_its_drain(services: dict[str, Any], name: str) -> None:
    grace_s = int(services[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s > RoomSettings.model_fields["grace_s"].default + 10


def test_a_drained_generator_stays_away_and_other_rooms_come_back(services: dict[str, Any]) -> None:
    policies = {name: services[name]["restart"] for name in ROOMS if name != "spiral"}
    assert {policies.pop(name) for name in ("generators-rendered", "generators-agentic")} == {"on-failure"}
    assert set(policies.values()) == {"unless-stopped"}


def test_nothing_listens_beyond_this_machine(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_image_and_base_is_pinned_and_has_a_target(services: dict[str, Any]) -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    for service in services.values():
        if "build" in service:
            assert f"\nFROM base AS {service['build']['target']}\n" in dockerfile
        else:
            assert re.search(r":v?\d+\.\d+|:RELEASE\.\d{4}", service["image"])
    assert "latest" not in dockerfile


def test_agents_can_be_told_where_to_look_and_whom_to_ask(services: dict[str, Any]) -> None:
    wanted = {name for name in AgenticSettings.model_fields if name.startswith(("models_", "search_")) or name == "max_options"}
    assert {f"SPIRAL_{name.upper()}" for name in wanted} <= set(services["generators-agentic"]["environment"])
