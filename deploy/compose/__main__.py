"""`make compose-env`: writes what `docker compose` reads beside docker-compose.yml: credentials drawn at random, and who owns the reports.

Needs nothing but Python, for it runs before anything is installed. What stands in the file already stays as it is.
"""

import argparse
import os
import secrets
from pathlib import Path

ROOMS = ("EVALUATOR", "ATTRIBUTOR", "PLANNER", "GENERATORS", "QUALITY", "TRAINER", "CLI")
CONTAINER_USER = 10001
_HEADER = """\
# What `docker compose` reads: credentials of this stack, and how it is run. Keep it secret; `make compose-env` adds what is missing.
# Also read from here or from the environment, see deploy/compose/README.md: SPIRAL_RUN_ARGS, SPIRAL_TAG, SPIRAL_NATS_PORT,
# SPIRAL_S3_PORT, SPIRAL_REPORTS.
"""


def wanted(user_id: int, group_id: int) -> "dict[str, str]":
    """Every variable that a stack needs."""
    return {
        "COMPOSE_PROFILES": "cpu",
        "SPIRAL_UID": str(user_id),
        "SPIRAL_GID": str(group_id),
        **{f"NATS_{room}_PASSWORD": _secret() for room in ROOMS},
        "SPIRAL_S3_ACCESS_KEY": "spiral",
        "SPIRAL_S3_SECRET_KEY": _secret(),
    }


def write(file: Path, reports: "Path | None") -> "list[str]":
    """Adds to a file what is missing in it, readable by its owner alone, and makes the folder of the reports; returns the names added."""
    # Containers of root's stack run as a user without rights; everybody else's as that user, who may then remove the reports.
    is_root = os.getuid() == 0
    owner = (CONTAINER_USER, CONTAINER_USER) if is_root else (os.getuid(), os.getgid())
    values = wanted(*owner)
    if reports is not None:
        values["SPIRAL_REPORTS"] = str(reports.resolve())
    text = file.read_text(encoding="utf-8") if file.exists() else _HEADER
    standing = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    missing = [name for name in values if name not in standing]
    if text and not text.endswith("\n"):
        text += "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text + "".join(f"{name}={values[name]}\n" for name in missing))
    fresh.replace(file)
    folder = Path(standing.get("SPIRAL_REPORTS") or reports or file.parent / ".spiral" / "reports")
    folder.mkdir(parents=True, exist_ok=True)
    if is_root:
        os.chown(folder, int(standing.get("SPIRAL_UID", owner[0])), int(standing.get("SPIRAL_GID", owner[1])))
    return missing


def _secret() -> str:
    # Begins with a letter: the broker's configuration takes a word of digits for a number. Safe in URLs.
    return "s" + secrets.token_hex(24)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.compose", description="Write the environment file of the compose stack.")
    parser.add_argument("file", type=Path, nargs="?", default=Path(".env"))
    parser.add_argument("--reports", type=Path, help="the folder for the reports, .spiral/reports beside the file where left out")
    arguments = parser.parse_args()
    added = write(arguments.file, arguments.reports)
    print(f"{arguments.file}: added {', '.join(added)}" if added else f"{arguments.file}: complete, left as it is")  # noqa: T201


if __name__ == "__main__":
    main()
