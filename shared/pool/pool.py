"""The pool as a searchable index over the committed batches of the store."""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pyarrow as pa

from shared.artifacts import Artifacts
from shared.domain import ImageCategory
from shared.images.perceptual_hash import NUM_BITS, Hashes, hamming_to_all, mirrored_hash
from shared.in_parallel import in_parallel
from shared.pool.batches import PREFIX, ROWS_FILE, Batch, find_batch, image_of, read_rows
from shared.pool.caption_index import Scores, score_texts
from shared.pool.near_duplicates import near_duplicate_clusters
from shared.pool.pool_image import Hit, PoolImage, PoolStats
from shared.pool.segments import Mask, Segment, column_sum, value_counts, with_rows
from shared.pool.vectors import Vectors

_NUM_PARALLEL_BATCHES = 8
# How many ranks of each list count, and the usual offset of reciprocal rank fusion.
_NUM_RANKED, _RANK_OFFSET = 1000, 60


class Pool:
    """The images of the pool that were committed when it was opened or refreshed last.

    Searches take milliseconds per 100,000 images and run in the caller's thread. A refresh reads new batches only; what is new is
    searchable once it returns. Images keep the order in which they were seen.
    """

    def __init__(self, artifacts: Artifacts, *, embedding_model: str = "") -> None:
        """An empty view of the pool in a store; `open` gives a full one."""
        self._artifacts = artifacts
        self._vectors = Vectors(artifacts, embedding_model) if embedding_model else None
        self._batches: frozenset[str] = frozenset()
        self._segments: tuple[Segment, ...] = ()
        self._rows: dict[bytes, int] = {}
        self._refusals: Counter[str] = Counter()
        self._refreshing = asyncio.Lock()

    @classmethod
    async def open(cls, artifacts: Artifacts, *, embedding_model: str = "") -> "Pool":
        """The pool of a store; an empty one where nothing was added yet. Raises as `refresh`.

        With a model, also the vectors that it made of captions, for searches by vector: 2 bytes of memory for each of their dimensions.
        """
        pool = cls(artifacts, embedding_model=embedding_model)
        await pool.refresh()
        return pool

    async def refresh(self) -> int:
        """Takes in the batches that were committed since; says how many images are new.

        Raises:
            Retryable: the store is away.
            Rejected: a batch is damaged; nothing of this refresh is taken in.
        """
        async with self._refreshing:
            if self._vectors is not None:
                await self._vectors.refresh()
            names = [name for name in await self._artifacts.names(PREFIX) if name not in self._batches]
            if not names:
                return 0
            batches = await in_parallel(self._read_batch, names, limit=_NUM_PARALLEL_BATCHES)
            tables, rows = await asyncio.to_thread(_distinct, [table for table, _ in batches], self._rows)
            if rows:
                self._segments = await asyncio.to_thread(with_rows, self._segments, tables)
                self._rows |= rows
            self._batches |= frozenset(names)
            for _, batch in batches:
                self._refusals.update(batch.num_refused)
            return len(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def num_vectors(self) -> int:
        """Captions whose vectors are at hand."""
        return 0 if self._vectors is None else len(self._vectors)

    def find(self, image_sha256: str) -> PoolImage | None:
        """The image of that digest, or None."""
        at = self._rows.get(bytes.fromhex(image_sha256))
        return None if at is None else _image(self._segments, at)

    def search(self, text: str, *, limit: int, category: ImageCategory | None = None, vector: Sequence[float] | None = None) -> list[Hit]:
        """Images by the words of their caption, category, source, domain and file name, the best first; none that shares no word.

        Args:
            text: the words.
            limit: how many images at most.
            category: only images that were put into it.
            vector: what the pool's embedding model makes of the text. Then images whose captions mean the same are found too: those that
                stand high by words or by vector come first (reciprocal rank fusion: Cormack, Clarke and Büttcher, 2009).

        Raises:
            Rejected: the vector has other dimensions than the pool's.
        """
        segments = self._segments
        scores = score_texts([segment.words for segment in segments], text)
        if vector is not None and self._vectors is not None:
            scores = _fused(scores, self._vectors.likeness(vector, self._rows, len(scores)))
        if category is not None:
            scores[~_mask(segments, category)] = 0
        return [Hit(_image(segments, at), float(scores[at])) for at in _largest(scores, limit) if scores[at] > 0]

    def alike(self, perceptual_hash: int, *, limit: int, category: ImageCategory | None = None) -> list[Hit]:
        """Images by how their 64-bit hash agrees with one, as they are or mirrored, the most alike first.

        A score of 1 is the same hash; copies have at least 1 − NEAR_BITS / 64; unrelated images have about a half.
        """
        segments = self._segments
        hashes = _hashes(segments)
        plain, mirrored = hamming_to_all(perceptual_hash, hashes), hamming_to_all(mirrored_hash(perceptual_hash), hashes)
        scores = (1 - np.minimum(plain, mirrored) / NUM_BITS).astype(np.float32)
        if category is not None:
            scores[~_mask(segments, category)] = -1
        best = [at for at in _largest(scores, limit) if scores[at] >= 0]
        return [Hit(_image(segments, at), float(scores[at]), bool(mirrored[at] < plain[at])) for at in best]

    def of_category(self, category: ImageCategory | None, *, limit: int, seed: int = 0) -> list[PoolImage]:
        """Images of a category, or with None those that nobody put into one: a draw without repetition that the seed decides."""
        segments = self._segments
        candidates = np.flatnonzero(_mask(segments, category))
        chosen = np.random.default_rng(seed).permutation(candidates)[:limit]
        return [_image(segments, int(at)) for at in chosen]

    def stats(self) -> PoolStats:
        """What the pool holds; takes a second per 100,000 images, most of it for the clusters."""
        clusters = near_duplicate_clusters(_hashes(self._segments))
        return PoolStats(
            num_images=len(self),
            num_image_bytes=column_sum(self._segments, "num_image_bytes"),
            num_thumbnail_bytes=column_sum(self._segments, "num_thumbnail_bytes"),
            by_licence=value_counts(self._segments, "licence"),
            by_source=value_counts(self._segments, "source"),
            by_domain=value_counts(self._segments, "domain"),
            by_category=value_counts(self._segments, "category"),
            num_near_duplicate_clusters=clusters.num_clusters,
            num_near_duplicates=clusters.num_images,
            refusals=dict(self._refusals.most_common()),
        )

    async def read(self, image: PoolImage) -> bytes:
        """An image's bytes, PNG or JPEG; raises as `Artifacts.read_bytes`."""
        return await self._artifacts.read_bytes(image.image)

    async def read_thumbnail(self, image: PoolImage) -> bytes:
        """A thumbnail's bytes, JPEG; raises as `Artifacts.read_bytes`."""
        return await self._artifacts.read_bytes(image.thumbnail)

    async def _read_batch(self, name: str) -> tuple[pa.Table, Batch]:
        batch = await find_batch(self._artifacts, name)
        payload = await self._artifacts.read_bytes(batch.rows)
        return await asyncio.to_thread(read_rows, payload, f"{name}, {ROWS_FILE}"), batch


def _image(segments: Sequence[Segment], at: int) -> PoolImage:
    ends = list(accumulate(map(len, segments)))
    which = bisect_right(ends, at)
    return image_of(segments[which].table, at - ends[which] + len(segments[which]))


def _mask(segments: Sequence[Segment], category: ImageCategory | None) -> Mask:
    return np.concatenate([np.zeros(0, dtype=np.bool_), *(segment.is_of(category) for segment in segments)])


def _hashes(segments: Sequence[Segment]) -> Hashes:
    return np.concatenate([np.zeros(0, dtype=np.uint64), *(segment.hashes for segment in segments)])


def _fused(words: Scores, likeness: Scores) -> Scores:
    """One score from two rankings; only images that share a word, or are among the most alike, have any."""
    fused = np.zeros(len(words), dtype=np.float32)
    for scores, least in ((words, 0.0), (likeness, -1.0)):
        ranked = np.array([at for at in _largest(scores, _NUM_RANKED) if scores[at] > least], dtype=np.intp)
        fused[ranked] += 1 / (_RANK_OFFSET + 1 + np.arange(len(ranked), dtype=np.float32))
    return fused


def _largest(scores: Scores, limit: int) -> list[int]:
    """Where the largest scores stand, the largest first; of equal ones the earlier first."""
    if limit < 1 or not len(scores):
        return []
    chosen = np.arange(len(scores))
    if limit < len(scores):
        least = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        chosen = np.flatnonzero(scores >= least)
    found: list[int] = chosen[np.argsort(-scores[chosen], kind="stable")][:limit].tolist()
    return found


def _distinct(tables: list[pa.Table], known: dict[bytes, int]) -> tuple[list[pa.Table], dict[bytes, int]]:
    """The rows whose image is not known yet, and where they will stand behind the known ones; two adds at once may bring one twice."""
    rows: dict[bytes, int] = {}
    kept = []
    for table in tables:
        positions = []
        for position, digest in enumerate(table.column("image_sha256").to_pylist()):
            if digest not in known and digest not in rows:
                rows[digest] = len(known) + len(rows)
                positions.append(position)
        kept.append(table if len(positions) == table.num_rows else table.take(positions))
    return kept, rows
