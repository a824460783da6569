"""Verdicts from a file: for tools that show samples elsewhere, and for people who audit away from the terminal."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.cli.audit_drawing import Drawn
from shared.domain import AuditVerdict
from shared.errors import BadConfiguration

VERDICTS = {"right": AuditVerdict.CORRECT, "wrong": AuditVerdict.WRONG, "unsure": AuditVerdict.UNSURE} | {
    verdict.value: verdict for verdict in AuditVerdict
}
MAX_NOTE_CHARS = 2000


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_id: Annotated[str, Field(min_length=1)]
    verdict: str
    note: Annotated[str, Field(max_length=MAX_NOTE_CHARS)] = ""


@dataclass(frozen=True, slots=True)
class FiledVerdict:
    """One line: what it says of which sample."""

    drawn: Drawn
    verdict: AuditVerdict
    note: str


def read_verdicts(path: Path, samples: Mapping[str, Drawn]) -> list[FiledVerdict]:
    """All verdicts of a JSONL file: {"sample_id": …, "verdict": "right", "wrong" or "unsure", "note": …}, the note optional.

    Args:
        path: the file.
        samples: every sample that may be named, by its id.

    Raises:
        BadConfiguration: names the line of the first fault; nothing of the file counts then.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"--verdicts {path}: {error}") from error
    found = []
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        where = f"--verdicts {path}, line {number}"
        try:
            line = _Line.model_validate(json.loads(text))
        except json.JSONDecodeError as error:
            raise BadConfiguration(f"{where}: no JSON ({error})") from error
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise BadConfiguration(f"{where}: {'.'.join(map(str, problem['loc']))} {problem['msg']}") from error
        if line.verdict not in VERDICTS:
            raise BadConfiguration(f"{where}: verdict is {line.verdict!r}: it must be right, wrong or unsure")
        if line.sample_id not in samples:
            raise BadConfiguration(f"{where}: no dataset of the run that is sealed so far holds a sample {line.sample_id!r}")
        found.append(FiledVerdict(samples[line.sample_id], VERDICTS[line.verdict], line.note))
    return found
