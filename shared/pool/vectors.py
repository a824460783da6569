"""Embeddings of captions: for each batch and model a manifest `pool-vectors/<digest of the model's name>/<batch>` with `vectors.parquet`.

Vectors have unit length and 16-bit precision, which moves a cosine by less than 0.001.
"""

import asyncio
import hashlib
import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from shared.artifacts import Artifacts
from shared.errors import NotFound, Rejected
from shared.in_parallel import in_parallel
from shared.pool.batches import DIGEST, PREFIX
from shared.ports import Cause

VECTORS_FILE = "vectors.parquet"
_SCHEMA = pa.schema([("image_sha256", DIGEST), ("vector", pa.binary())])
_STORED = np.dtype("<f2")
_NUM_PARALLEL_BATCHES = 8
_ROWS_AT_A_TIME = 8192

Floats = npt.NDArray[np.float32]


def vectors_prefix(model: str) -> str:
    """How the names of a model's manifests start."""
    return f"pool-vectors/{hashlib.sha256(model.encode()).hexdigest()[:16]}/"


async def batches_without_vectors(artifacts: Artifacts, model: str) -> list[str]:
    """The names of the pool's batches whose captions a model has not embedded yet.

    Raises:
        Retryable: the store is away.
    """
    prefix = vectors_prefix(model)
    embedded = {name.removeprefix(prefix) for name in await artifacts.names(prefix)}
    return [name for name in await artifacts.names(PREFIX) if name.removeprefix(PREFIX) not in embedded]


async def commit_vectors(artifacts: Artifacts, batch: str, model: str, vectors: Mapping[str, Sequence[float]]) -> None:
    """Makes vectors a part of the pool.

    Args:
        artifacts: where the pool stands.
        batch: the name of the batch's manifest.
        model: the name of the model that embedded.
        vectors: by the SHA-256 of the image; images without a caption have none.

    Raises:
        Retryable: the store is away.
    """
    unit = {digest: _unit(np.asarray(vector, dtype=np.float32)).astype(_STORED).tobytes() for digest, vector in vectors.items()}
    rows = [{"image_sha256": bytes.fromhex(digest), "vector": unit[digest]} for digest in sorted(unit)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink, compression="zstd")
    ref = await artifacts.put_bytes(sink.getvalue())
    name = vectors_prefix(model) + batch.removeprefix(PREFIX)
    cause = Cause(hashlib.sha256(f"operator/{name}".encode()).hexdigest(), 0)
    await artifacts.commit(name, {VECTORS_FILE: ref}, cause=cause, metadata={"model": model, "num_vectors": len(rows)})


class Vectors:
    """The vectors of one model that were committed when it was refreshed last."""

    def __init__(self, artifacts: Artifacts, model: str) -> None:
        """None yet; takes the model's name."""
        self._artifacts, self._prefix = artifacts, vectors_prefix(model)
        self._names: frozenset[str] = frozenset()
        # One attribute, so that a search in another thread sees both or neither.
        self._held: tuple[list[bytes], npt.NDArray[np.float16]] = ([], np.zeros((0, 0), dtype=np.float16))

    def __len__(self) -> int:
        return len(self._held[0])

    async def refresh(self) -> None:
        """Takes in what was committed since.

        Raises:
            Retryable: the store is away.
            Rejected: a file is damaged, or its vectors are of another length.
        """
        names = [name for name in await self._artifacts.names(self._prefix) if name not in self._names]
        tables = await in_parallel(self._read, names, limit=_NUM_PARALLEL_BATCHES)
        digests = [digest for table in tables for digest in table.column("image_sha256").to_pylist()]
        if digests:
            vectors = [vector for table in tables for vector in table.column("vector").to_pylist()]
            known, matrix = self._held
            self._held = (known + digests, await asyncio.to_thread(_stacked, matrix, vectors))
        self._names |= frozenset(names)

    def likeness(self, vector: Sequence[float], places: Mapping[bytes, int], num_places: int) -> Floats:
        """The cosine of every image's vector with another one; −1 for images that have none. Safe beside a refresh in another thread.

        Args:
            vector: of any length but zero.
            places: where each image's value shall stand; images that came meanwhile may stand beyond the last place.
            num_places: how many values there shall be.

        Raises:
            Rejected: it has another number of dimensions.
        """
        digests, matrix = self._held
        found = np.full(num_places, -1, dtype=np.float32)
        if not digests:
            return found
        if len(vector) != matrix.shape[1]:
            raise Rejected(f"the pool's vectors have {matrix.shape[1]} dimensions, not {len(vector)}: embed it by the same model")
        unit = _unit(np.asarray(vector, dtype=np.float32))
        for start in range(0, len(digests), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            at = np.array([places.get(digest, -1) for digest in digests[part]])
            cosines = matrix[part].astype(np.float32) @ unit
            stands = (at >= 0) & (at < num_places)
            found[at[stands]] = cosines[stands]
        return found

    async def _read(self, name: str) -> pa.Table:
        ref = await self._artifacts.find(name)
        if ref is None:
            raise NotFound(f"the manifest {name} vanished")
        files = (await self._artifacts.manifest(ref)).files
        if VECTORS_FILE not in files:
            raise Rejected(f"the manifest {name} holds no vectors")
        try:
            return pq.read_table(io.BytesIO(await self._artifacts.read_bytes(files[VECTORS_FILE]))).select(_SCHEMA.names).cast(_SCHEMA)
        except (pa.ArrowException, KeyError, OSError) as error:
            raise Rejected(f"{name}, {VECTORS_FILE} is no table of vectors: {error}") from error


def _stacked(matrix: npt.NDArray[np.float16], vectors: Sequence[bytes]) -> npt.NDArray[np.float16]:
    num_bytes = {len(vector) for vector in vectors}
    if len(num_bytes) > 1 or (len(matrix) and num_bytes != {matrix.shape[1] * _STORED.itemsize}):
        raise Rejected(f"vectors of one model have different lengths: {sorted(num_bytes)} bytes")
    new = np.frombuffer(b"".join(vectors), dtype=_STORED).reshape(len(vectors), -1).astype(np.float16)
    return np.concatenate([matrix, new]) if len(matrix) else new


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector
