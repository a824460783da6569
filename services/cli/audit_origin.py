"""Where a sample or candidate comes from, in a few lines for whoever audits it. What the provenance says was written by its maker. Pure."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.cli.words import on_screen, words
from shared.domain import Candidate
from shared.tables import Sample

MAX_LINE_CHARS = 300
"""Of a line; a page's title may be anything."""


class _Told(BaseModel):
    # Every kind of generator adds what it likes.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Generator(_Told):
    kind: str = ""
    version: str = ""


class _Source(_Told):
    origin: str = ""
    url: str = ""
    page_url: str = ""
    licence: str = ""
    caption: str = ""


class _Provenance(_Told):
    generator: _Generator = _Generator()
    task: str = ""
    licence: str = ""
    source: _Source | None = None
    edits: Annotated[list[dict[str, Any]], Field(max_length=1000)] = []
    models: dict[str, str] = {}


def origin_of(made: Sample | Candidate) -> list[tuple[str, str]]:
    """Names and values: maker, what proves the label, source, licence, edits, models. Text is safe to print."""
    try:
        told = _Provenance.model_validate_json(made.provenance)
    except ValidationError:
        return [("maker", "its provenance can't be read"), ("proof", _proof(made))]
    maker = " ".join(part for part in (told.generator.kind, told.generator.version, told.task) if part) or "unknown"
    lines = [("maker", maker), ("proof", _proof(made))]
    licence = told.licence
    if told.source is not None:
        where = told.source.page_url or told.source.url
        lines.append(("source", " ".join(part for part in (told.source.origin, where) if part)))
        lines.append(("caption", told.source.caption))
        licence = told.source.licence or licence
    lines.append(("licence", licence or "not stated"))
    lines.append(("edits", _edits(told.edits)))
    lines.append(("models", ", ".join(f"{words(role)}: {model}" for role, model in told.models.items())))
    return [(name, on_screen(value)[:MAX_LINE_CHARS]) for name, value in lines if value]


def maker_of(made: Sample | Candidate) -> str:
    """The kind of generator that made it, as it says itself; empty where it says nothing."""
    try:
        return on_screen(_Provenance.model_validate_json(made.provenance).generator.kind)
    except ValidationError:
        return ""


def _proof(made: Sample | Candidate) -> str:
    return "the answer follows from its scene" if made.scene else "none but the agreement of models"


def _edits(edits: Sequence[dict[str, Any]]) -> str:
    return ", ".join(words(str(edit.get("op", "of an unknown kind"))) for edit in edits)
