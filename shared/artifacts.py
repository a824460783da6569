"""Artifacts: immutable blobs named by their content, and manifests, written last, that make a set of them a fact.

Keys in the store: `blobs/sha256/<first two hex digits>/<digest>` and `manifests/<name>.json`. A reference's uri is `spiral://<key>`.
Manifest names:

    runs/<run_id>/{base|probes|exam}
    runs/<run_id>/<iteration>/{evaluation|dataset|checkpoint|training}
    runs/<run_id>/<iteration>/candidates/<lease_id>
    runs/<run_id>/<iteration>/reviews/<lease_id>
    pool/<digest>
    benchmarks/<name>
"""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shared.artifact_cache import ArtifactCache
from shared.domain import ArtifactRef
from shared.durable_files import sha256_of
from shared.errors import DigestMismatch, NotFound, Rejected
from shared.in_parallel import in_parallel
from shared.manifest import Manifest, manifest_of, manifest_text
from shared.object_keys import check_key, check_relative_path
from shared.ports import Cause
from shared.store import ObjectStore

__all__ = ["Artifacts", "Manifest", "blob_ref"]

_SCHEME = "spiral://"
_NUM_PARALLEL_FILES = 4
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Artifacts:
    """Content-addressed artifacts over an object store.

    Every read is checked against its reference's SHA-256. Every method raises the store's errors, see `ObjectStore`.
    """

    def __init__(self, store: ObjectStore, *, cache_dir: Path, producer: str) -> None:
        """Takes a reachable store, a directory that processes may share and that may be lost, and the room that commits."""
        self._store = store
        self._cache = ArtifactCache(cache_dir, self.fetch_file)
        self._producer = producer

    async def put_bytes(self, payload: bytes) -> ArtifactRef:
        """Stores a blob; one that stands already costs a look."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(payload).hexdigest())
        ref = blob_ref(digest, len(payload))
        if await self._store.stat(_key(ref)) != ref.num_bytes:
            await self._store.put_bytes(_key(ref), payload)
        return ref

    async def put_file(self, path: Path) -> ArtifactRef:
        """Stores a file's content as a blob, in bounded memory; one that stands already costs a look.

        Raises:
            NotFound: there is no such file.
            DigestMismatch: the file changed meanwhile.
        """
        try:
            digest, num_bytes = await asyncio.to_thread(sha256_of, path)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise NotFound(f"there is no file {path}") from error
        ref = blob_ref(digest, num_bytes)
        if await self._store.stat(_key(ref)) != num_bytes:
            await self._store.put_file(_key(ref), path, sha256=digest)
        return ref

    async def read_bytes(self, ref: ArtifactRef) -> bytes:
        """An object's bytes, checked.

        Raises:
            NotFound: it does not stand in the store.
            DigestMismatch: its bytes are not those of the reference.
        """
        payload = await self._store.get_bytes(_key(ref))
        digest = await asyncio.to_thread(lambda: hashlib.sha256(payload).hexdigest())
        if digest != ref.sha256:
            raise DigestMismatch(f"{ref.uri} should have SHA-256 {ref.sha256} but has {digest}: it was corrupted or replaced")
        return payload

    async def fetch_file(self, ref: ArtifactRef, path: Path) -> Path:
        """Copies an object to a file, in bounded memory; the file appears once it is complete and checked.

        Raises:
            NotFound: it does not stand in the store.
            DigestMismatch: its bytes are not those of the reference; the path is left as it was.
        """
        await asyncio.to_thread(lambda: path.parent.mkdir(parents=True, exist_ok=True))
        await self._store.get_file(_key(ref), path, sha256=ref.sha256)
        return path

    async def commit(
        self, name: str, files: Mapping[str, ArtifactRef], *, cause: Cause, metadata: Mapping[str, Any] = _NOTHING
    ) -> ArtifactRef:
        """Makes a set of stored files a fact under a name, once; where a manifest of that name stands, that one wins.

        Args:
            name: see the names above.
            files: what the manifest names: relative path to reference.
            cause: what made it necessary; from it the ids of the announcing events follow.
            metadata: JSON values: what is needed to announce the manifest again.

        Returns:
            The reference of the manifest that stands.

        Raises:
            NotFound: a file does not stand in the store; nothing is committed.
            Rejected: a name or a metadata value can't be written.
        """
        key = _manifest_key(name)
        for path in files:
            check_relative_path(path)
        sizes = await in_parallel(self._store.stat, [_key(ref) for ref in files.values()], limit=_NUM_PARALLEL_FILES)
        for (path, ref), size in zip(files.items(), sizes, strict=True):
            if size != ref.num_bytes:
                raise NotFound(f"manifest {name}: {path} ({ref.uri}, {ref.num_bytes} bytes) does not stand in the store")
        payload = manifest_text(Manifest(name, self._producer, cause, files, metadata))
        if not await self._store.create(key, payload):
            payload = await self._store.get_bytes(key)
        return _ref(key, payload)

    async def commit_directory(self, name: str, directory: Path, *, cause: Cause, metadata: Mapping[str, Any] = _NOTHING) -> ArtifactRef:
        """Stores all files below a directory, then commits them under their relative paths; see `commit`.

        Raises:
            NotFound: there is no such directory, or it holds no file.
        """
        paths = await asyncio.to_thread(lambda: sorted(path for path in directory.rglob("*") if path.is_file()))
        if not paths:
            raise NotFound(f"there is no directory {directory} with files")
        refs = await in_parallel(self.put_file, paths, limit=_NUM_PARALLEL_FILES)
        files = {path.relative_to(directory).as_posix(): ref for path, ref in zip(paths, refs, strict=True)}
        return await self.commit(name, files, cause=cause, metadata=metadata)

    async def find(self, name: str) -> ArtifactRef | None:
        """The reference of a committed manifest, or None."""
        key = _manifest_key(name)
        try:
            return _ref(key, await self._store.get_bytes(key))
        except NotFound:
            return None

    async def manifest(self, ref: ArtifactRef) -> Manifest:
        """A committed manifest.

        Raises:
            NotFound: it does not stand in the store.
            DigestMismatch: its bytes are not those of the reference.
            Rejected: it is no manifest.
        """
        return manifest_of(await self.read_bytes(ref), ref.uri)

    async def fetch_directory(self, ref: ArtifactRef) -> Path:
        """A local directory with all files of a manifest, checked when it was fetched first and kept in the cache.

        Several processes may fetch it at once. The files are read-only and shared: copy what you want to change.

        Raises:
            NotFound: the manifest or a file does not stand in the store.
            DigestMismatch: bytes are not those of their reference.
            Rejected: it is no manifest.
        """
        standing = await self._cache.directory(ref.sha256)
        if standing is not None:
            return standing
        manifest = await self.manifest(ref)
        return await self._cache.fetch(ref.sha256, manifest.files)

    async def forget(self, name: str) -> bool:
        """Takes back a manifest that an operator registered, so that its name is free; says whether one stood. Its files stay.

        Nothing that rooms told each other of is ever taken back.
        """
        key = _manifest_key(name)
        if await self._store.stat(key) is None:
            return False
        await self._store.delete(key)
        return True

    async def names(self, prefix: str) -> list[str]:
        """The names of the committed manifests that start with `prefix`, sorted."""
        keys = await self._store.keys(f"manifests/{prefix}")
        return sorted(key.removeprefix("manifests/").removesuffix(".json") for key in keys)


def blob_ref(digest: str, num_bytes: int) -> ArtifactRef:
    """The reference of the blob with that SHA-256 in hex, whether or not it stands."""
    return ArtifactRef(f"{_SCHEME}blobs/sha256/{digest[:2]}/{digest}", digest, num_bytes)


def _ref(key: str, payload: bytes) -> ArtifactRef:
    return ArtifactRef(_SCHEME + key, hashlib.sha256(payload).hexdigest(), len(payload))


def _key(ref: ArtifactRef) -> str:
    if not ref.uri.startswith(_SCHEME):
        raise Rejected(f"{ref.uri!r} is no artifact: a reference starts with {_SCHEME}")
    return check_key(ref.uri.removeprefix(_SCHEME))


def _manifest_key(name: str) -> str:
    return check_key(f"manifests/{name}.json")
