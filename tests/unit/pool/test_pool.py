"""The pool over a real directory store: what is committed is found, by words, by likeness, by category and by meaning."""

import dataclasses
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.artifacts import Artifacts
from shared.domain import ImageCategory
from shared.errors import Rejected
from shared.images.perceptual_hash import mirrored_hash
from shared.pool import Pool, PoolImage
from shared.pool.batches import PREFIX, ROWS_FILE, RefusedFile, commit_batch, domain_of, image_of, read_rows, write_rows
from shared.pool.vectors import Vectors, batches_without_vectors, commit_vectors
from shared.ports import Cause
from shared.store_directory import DirectoryStore
from tests.unit.pool.pictures import pool_image

MAP, CHART = ImageCategory.MAP, ImageCategory.CHART_GRAPH


@pytest.fixture
async def artifacts(tmp_path: Path) -> AsyncIterator[Artifacts]:
    async with DirectoryStore(tmp_path / "store") as store:
        yield Artifacts(store, cache_dir=tmp_path / "cache", producer="cli")


def ids(found: list[PoolImage]) -> list[int]:
    return [int(image.image_sha256[2:], 16) for image in found]


async def searched(pool: Pool, text: str, **options: object) -> list[int]:
    return ids([hit.image for hit in pool.search(text, limit=10, **options)])


async def test_rows_keep_every_field(artifacts: Artifacts) -> None:
    images = [pool_image(1, "A map of Ulm", category=MAP, perceptual_hash=2**64 - 1), pool_image(2)]
    table = read_rows(write_rows(images), "here")
    assert [image_of(table, at) for at in range(2)] == images
    await commit_batch(artifacts, images, [])
    pool = await Pool.open(artifacts)
    assert pool.find(images[0].image_sha256) == images[0]
    assert pool.find("00" * 32) is None


async def test_an_empty_store_is_an_empty_pool(artifacts: Artifacts) -> None:
    pool = await Pool.open(artifacts)
    assert len(pool) == 0
    assert pool.search("cat", limit=5) == pool.alike(7, limit=5) == []
    assert pool.of_category(MAP, limit=5) == []
    assert pool.stats().num_images == 0


async def test_words_find_captions_categories_sources_domains_and_file_names(artifacts: Artifacts) -> None:
    images = [
        pool_image(1, "A cat sleeps"),
        pool_image(2, "Bars of sales", category=CHART),
        pool_image(3, "nothing", source="Ulm museum"),
        pool_image(4, "two cats, one cat"),
    ]
    await commit_batch(artifacts, images, [])
    pool = await Pool.open(artifacts)
    assert await searched(pool, "cats") == [4, 1]
    assert await searched(pool, "chart") == [2]
    assert await searched(pool, "museum") == [3]
    assert sorted(await searched(pool, "example")) == [1, 2, 3, 4]
    assert await searched(pool, "000002") == [2]
    assert await searched(pool, "dog") == []
    assert await searched(pool, "cats", category=CHART) == []
    assert await searched(pool, "nothing sales", category=CHART) == [2]
    assert len(pool.search("example", limit=3)) == 3


async def test_likeness_finds_copies_and_mirrored_copies_first(artifacts: Artifacts) -> None:
    near, far = 0x0123456789ABCDEF, 0xFEDCBA9876543210
    images = [
        pool_image(1, perceptual_hash=far),
        pool_image(2, perceptual_hash=near ^ 0b11),
        pool_image(3, perceptual_hash=mirrored_hash(near) ^ 0b1, category=MAP),
        pool_image(4, perceptual_hash=near),
    ]
    await commit_batch(artifacts, images, [])
    hits = (await Pool.open(artifacts)).alike(near, limit=3)
    assert ids([hit.image for hit in hits]) == [4, 3, 2]
    assert [hit.is_mirrored for hit in hits] == [False, True, False]
    assert [hit.score for hit in hits] == [1, 1 - 1 / 64, 1 - 2 / 64]
    assert ids([hit.image for hit in (await Pool.open(artifacts)).alike(near, limit=3, category=MAP)]) == [3]


async def test_a_category_is_drawn_from_by_seed_without_repetition(artifacts: Artifacts) -> None:
    await commit_batch(artifacts, [pool_image(n, category=[None, MAP, CHART][n % 3]) for n in range(60)], [])
    pool = await Pool.open(artifacts)
    drawn = ids(pool.of_category(MAP, limit=8, seed=1))
    assert len(set(drawn)) == 8
    assert {number % 3 for number in drawn} == {1}
    assert drawn == ids(pool.of_category(MAP, limit=8, seed=1)) != ids(pool.of_category(MAP, limit=8, seed=2))
    assert sorted(ids(pool.of_category(None, limit=99))) == list(range(0, 60, 3))
    assert pool.of_category(ImageCategory.MEDICAL, limit=5) == []


async def test_a_refresh_brings_what_is_new_and_nothing_twice(artifacts: Artifacts) -> None:
    await commit_batch(artifacts, [pool_image(n, f"word{n}") for n in range(50)], [])
    pool = await Pool.open(artifacts)
    assert await pool.refresh() == 0
    # Two adds at once may both have taken image 49 in.
    await commit_batch(artifacts, [pool_image(n, f"word{n}") for n in (49, 50, 51)], [])
    await commit_batch(artifacts, [pool_image(51, "word51 again")], [])
    assert await pool.refresh() == 2
    assert len(pool) == pool.stats().num_images == 52
    assert await searched(pool, "word51") == [51]
    for number in (0, 49, 50):
        assert await searched(pool, f"word{number}") == [number]
        assert pool.find(pool_image(number).image_sha256) is not None


async def test_many_small_batches_give_the_same_pool_as_one(artifacts: Artifacts, tmp_path: Path) -> None:
    images = [pool_image(n, f"word{n % 7} word{n % 5}", perceptual_hash=n * 0x9E3779B97F4A7C15 % 2**64) for n in range(150)]
    pool = await Pool.open(artifacts)
    for start in range(0, 150, 3):
        await commit_batch(artifacts, images[start : start + 3], [])
        assert await pool.refresh() == 3
    async with DirectoryStore(tmp_path / "other") as store:
        whole = Artifacts(store, cache_dir=tmp_path / "cache", producer="cli")
        await commit_batch(whole, images, [])
        other = await Pool.open(whole)
    assert pool.stats() == other.stats()
    for text in ("word3", "word3 word4", "word6 word1 word2"):
        assert set(await searched(pool, text)) <= set(ids([hit.image for hit in other.search(text, limit=150)]))
        assert len(pool.search(text, limit=150)) == len(other.search(text, limit=150))
    assert [hit.image for hit in pool.alike(5, limit=20)] == [hit.image for hit in other.alike(5, limit=20)]


async def test_stats_count_by_everything(artifacts: Artifacts) -> None:
    images = [pool_image(n, category=MAP if n < 2 else None, perceptual_hash=n << 32 | n * 7919) for n in range(3)]
    images += [pool_image(9, source="other", perceptual_hash=images[0].perceptual_hash ^ 1)]
    await commit_batch(artifacts, images, [RefusedFile("a", "image_undecodable", "why", "ab" * 32), RefusedFile("b", "licence", "why")])
    await commit_batch(artifacts, [], [RefusedFile("c", "licence", "why", "cd" * 32)])
    stats = (await Pool.open(artifacts)).stats()
    assert (stats.num_images, stats.num_image_bytes, stats.num_thumbnail_bytes) == (4, 4012, 400)
    assert list(stats.by_source.items()) == [("some", 3), ("other", 1)]
    assert stats.by_category == {"": 2, "map": 2}
    assert stats.by_licence == {"CC0-1.0": 4}
    assert stats.by_domain == {"example.org": 4}
    assert (stats.num_near_duplicate_clusters, stats.num_near_duplicates) == (1, 2)
    assert stats.refusals == {"licence": 2, "image_undecodable": 1}


async def test_a_damaged_batch_is_told_and_nothing_of_the_refresh_is_taken_in(artifacts: Artifacts) -> None:
    await commit_batch(artifacts, [pool_image(1, "cat")], [])
    pool = await Pool.open(artifacts)
    await commit_batch(artifacts, [pool_image(2, "cat")], [])
    junk = await artifacts.put_bytes(b"no table")
    await artifacts.commit(f"{PREFIX}{'f' * 64}", {ROWS_FILE: junk, "refused.parquet": junk}, cause=Cause("e", 0), metadata={"refused": {}})
    with pytest.raises(Rejected, match=r"f{64}, rows\.parquet is no table"):
        await pool.refresh()
    assert len(pool) == 1
    assert await searched(pool, "cat") == [1]


async def test_a_row_with_an_unknown_category_or_a_hole_is_told_with_its_column(artifacts: Artifacts) -> None:
    table = read_rows(write_rows([pool_image(1)]), "here")
    for name, value, said in (("category", "selfie", "'selfie' is none of the twelve"), ("licence", None, "holds an empty value")):
        at = table.schema.get_field_index(name)
        sink = io.BytesIO()
        pq.write_table(table.set_column(at, name, pa.array([value], pa.string())), sink)
        with pytest.raises(Rejected, match=f"here, column '{name}': {said}"):
            read_rows(sink.getvalue(), "here")
    sink = io.BytesIO()
    pq.write_table(table.drop_columns(["licence"]), sink)
    with pytest.raises(Rejected, match=r"lacks the column\(s\) 'licence'"):
        read_rows(sink.getvalue(), "here")


async def test_images_and_thumbnails_are_read_and_checked(artifacts: Artifacts) -> None:
    image, thumbnail = await artifacts.put_bytes(b"image"), await artifacts.put_bytes(b"thumbnail")
    await commit_batch(artifacts, [dataclasses.replace(pool_image(1), image_sha256=image.sha256, image=image, thumbnail=thumbnail)], [])
    pool = await Pool.open(artifacts)
    [hit] = pool.search("example", limit=1)
    assert (await pool.read(hit.image), await pool.read_thumbnail(hit.image)) == (b"image", b"thumbnail")


async def test_a_search_that_runs_beside_a_refresh_passes_over_images_that_it_does_not_know_yet(artifacts: Artifacts) -> None:
    digests = [bytes([number]) * 32 for number in range(3)]
    await commit_vectors(artifacts, f"{PREFIX}a", "m", {digest.hex(): [1.0, float(at)] for at, digest in enumerate(digests)})
    vectors = Vectors(artifacts, "m")
    await vectors.refresh()
    found = vectors.likeness([1.0, 0.0], {digests[0]: 1, digests[2]: 2}, 2)
    assert found.tolist() == [-1.0, 1.0]


async def test_vectors_find_what_means_the_same(artifacts: Artifacts) -> None:
    images = [pool_image(1, "feline"), pool_image(2, "cat"), pool_image(3, "dog"), pool_image(4)]
    await commit_batch(artifacts, images[:2], [])
    await commit_batch(artifacts, images[2:], [])
    meanings = {1: [1.0, 0.1, 0], 2: [0.9, 0, 0.1], 3: [0, 1, 0]}
    pool = await Pool.open(artifacts, embedding_model="m")
    missing = await batches_without_vectors(artifacts, "m")
    assert len(missing) == 2
    for name in missing:
        rows = read_rows(await artifacts.read_bytes((await artifacts.manifest(await artifacts.find(name))).files[ROWS_FILE]), name)
        numbers = ids([image_of(rows, at) for at in range(rows.num_rows)])
        vectors = {pool_image(number).image_sha256: meanings[number] for number in numbers if number in meanings}
        await commit_vectors(artifacts, name, "m", vectors)
    assert await batches_without_vectors(artifacts, "m") == []
    assert len(await batches_without_vectors(artifacts, "another model")) == 2
    await pool.refresh()
    # By words alone only image 2; by meaning image 1 is as near, and image 4 has no caption to mean anything.
    assert await searched(pool, "cat") == [2]
    assert await searched(pool, "cat", vector=[1, 0, 0]) == [2, 1, 3]
    assert await searched(pool, "cat", vector=[1, 0, 0], category=MAP) == []
    assert await searched(await Pool.open(artifacts), "cat", vector=[1, 0, 0]) == [2]
    with pytest.raises(Rejected, match="3 dimensions, not 2"):
        pool.search("cat", limit=1, vector=[1, 0])


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.example.org:8080/a?b", "example.org"),
        ("http://u:p@Commons.Wikimedia.org/x", "commons.wikimedia.org"),
        ("my photos", ""),
        ("http://[broken", ""),
        ("", ""),
    ],
)
def test_domains(url: str, domain: str) -> None:
    assert domain_of(url) == domain
