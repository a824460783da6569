"""Replies that were paid for, in the object store: whoever asks the same again, in another process or after a crash, pays nothing."""

from dataclasses import dataclass

from shared.artifacts import Artifacts
from shared.errors import Retryable
from shared.ports import Cause
from shared.telemetry import log

_BLOB = "reply"


@dataclass(frozen=True, slots=True)
class Kept:
    """A reply: a text, or bytes."""

    model: str
    text: str = ""
    blob: bytes = b""


class ReplyCache:
    """Replies by digest: the manifests `llm/<digest>`."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def find(self, digest: str) -> Kept | None:
        """The reply that was kept under a digest, or None.

        Raises:
            Retryable: the store is away.
        """
        ref = await self._artifacts.find(_name(digest))
        if ref is None:
            return None
        manifest = await self._artifacts.manifest(ref)
        blob = await self._artifacts.read_bytes(manifest.files[_BLOB]) if _BLOB in manifest.files else b""
        return Kept(model=str(manifest.metadata["model"]), text=str(manifest.metadata["text"]), blob=blob)

    async def keep(self, digest: str, kept: Kept) -> None:
        """Keeps a reply; where one stands already, that one stays. While the store is away the reply is used all the same."""
        try:
            files = {_BLOB: await self._artifacts.put_bytes(kept.blob)} if kept.blob else {}
            cause = Cause(event_id=_name(digest), stored_at_ns=0)
            await self._artifacts.commit(_name(digest), files, cause=cause, metadata={"model": kept.model, "text": kept.text})
        except Retryable as error:
            log.warning("a reply can't be kept, so it may be paid for again", digest=digest, reason=str(error))


def _name(digest: str) -> str:
    return f"llm/{digest}"
