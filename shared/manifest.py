"""The manifest: a small JSON file that names the files of an artifact, who made it, why, and what to say about it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.domain import ArtifactRef
from shared.errors import Rejected
from shared.object_keys import check_relative_path
from shared.ports import Cause

_SCHEMA = "spiral.manifest/1"


@dataclass(frozen=True)
class Manifest:
    """A committed set of files."""

    name: str
    producer: str
    """The room that committed it."""
    cause: Cause
    files: Mapping[str, ArtifactRef]
    """Relative path to reference."""
    metadata: Mapping[str, Any]
    """JSON values: what is needed to announce the manifest again."""


class _Parsed(BaseModel):
    # What a newer version adds is passed over.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Cause(_Parsed):
    event_id: str
    stored_at_ns: Annotated[int, Field(ge=0)]


class _Ref(_Parsed):
    uri: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    num_bytes: Annotated[int, Field(ge=0)]


class _Text(_Parsed):
    format: Literal["spiral.manifest/1"] = Field(alias="schema")
    name: str
    producer: str
    cause: _Cause
    files: dict[str, _Ref]
    metadata: dict[str, Any]


def manifest_text(manifest: Manifest) -> bytes:
    """A manifest as JSON; equal manifests give equal bytes.

    Raises:
        Rejected: a metadata value is no JSON value, or a number that is not finite.
    """
    document = {
        "schema": _SCHEMA,
        "name": manifest.name,
        "producer": manifest.producer,
        "cause": {"event_id": manifest.cause.event_id, "stored_at_ns": manifest.cause.stored_at_ns},
        "files": {path: {"uri": ref.uri, "sha256": ref.sha256, "num_bytes": ref.num_bytes} for path, ref in manifest.files.items()},
        "metadata": dict(manifest.metadata),
    }
    try:
        return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise Rejected(f"manifest {manifest.name}: the metadata can't be written as JSON: {error}") from error


def manifest_of(payload: bytes, where: str) -> Manifest:
    """The manifest that `manifest_text` wrote.

    Raises:
        Rejected: it is none, or one of its paths leaves the directory; the text names `where` and the field.
    """
    try:
        text = _Text.model_validate_json(payload)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise Rejected(f"{where} is no manifest: {'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}") from error
    files = {check_relative_path(path): ArtifactRef(ref.uri, ref.sha256, ref.num_bytes) for path, ref in text.files.items()}
    return Manifest(text.name, text.producer, Cause(text.cause.event_id, text.cause.stored_at_ns), files, text.metadata)
