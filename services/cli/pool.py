"""`spiral pool`: unlabelled images for the generators that look for material."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from services.cli.asking import look_up, show
from services.cli.console import open_console
from services.cli.options import DEFAULT_STATE_DIR, BusUrl, Json, StateDir, StoreUrl
from services.cli.pool_add import PoolAdd, RefusalReport, Tally
from services.cli.pool_decoders import Decoders
from services.cli.pool_details import details_of, read_captions
from services.cli.pool_embed import ModelsFile, embed, open_embedder
from services.cli.pool_known import KnownFiles
from services.cli.pool_progress import shown
from services.cli.pool_source_files import read_file
from services.cli.pool_sources import Unusable, open_source
from services.cli.pool_views import add_json, render_add, render_search, render_stats, search_json, stats_json, thumbnail_name
from services.cli.run_command import say, until_signal
from services.cli.session import Session
from shared.artifacts import Artifacts
from shared.catalogue import Room
from shared.domain import ImageCategory
from shared.errors import BadConfiguration, Rejected
from shared.images.decoding import ImageRefused
from shared.images.intake import IntakeCaps, hash_of
from shared.pool import Hit, Pool
from shared.store import open_store_url

CAPS = IntakeCaps()
MIN_LIKENESS = 1 - 12 / 64
"""Of 100,000 unrelated images one in twenty searches meets one that is so alike."""

T = TypeVar("T")
pool_app = typer.Typer(help="Unlabelled images: take them in, search them, count them.", no_args_is_help=True)
Category = Annotated[ImageCategory | None, typer.Option("--category", help="One of the twelve image categories.", show_choices=False)]


@pool_app.command("add")
def add_command(
    where: Annotated[str, typer.Argument(metavar="DIR|FILE.parquet|s3://…", help="Images: PNG, JPEG or WEBP.")],
    licence: Annotated[str, typer.Option(help="The licence of all images about which the source says nothing else.")] = "",
    source: Annotated[str, typer.Option(help="Where they are from; the folder's, file's or bucket's name where left out.")] = "",
    category: Category = None,
    captions: Annotated[Path | None, typer.Option(help="JSONL or CSV with columns file and caption.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Look only at the first so many.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes that decode; one per core where left out.")] = None,
    refusals: Annotated[Path | None, typer.Option(help="Where to write which files were refused and why, as JSONL.")] = None,
    max_bytes: Annotated[int, typer.Option(min=1, help="Refuse larger files.")] = CAPS.max_bytes,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse images of more pixels, before any is unpacked.")] = CAPS.max_pixels,
    max_side: Annotated[
        int, typer.Option(min=32, max=CAPS.max_side_px, help="Scale larger images down to so many pixels.")
    ] = CAPS.max_side_px,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    store_url: StoreUrl = "",
    as_json: Json = False,
) -> None:
    """Take in images. The same command goes on where a former one was stopped, and skips what the pool holds."""
    caps = IntakeCaps(max_bytes=max_bytes, max_pixels=max_pixels, max_side_px=max_side)
    said = {} if captions is None else read_captions(captions)
    console = open_console(stderr=as_json)
    tally = Tally()
    report = RefusalReport(refusals or state_dir / "reports" / "pool-refusals.jsonl")
    num_workers = workers or len(os.sched_getaffinity(0))
    began_s = time.monotonic()

    async def add() -> None:
        async with open_source(where, said, max_bytes=max_bytes) as images, _artifacts(state_dir, store_url) as artifacts:
            details = details_of({"licence": licence, "source": source or images.name, "category": category})
            if not licence and not images.may_know_licences:
                raise BadConfiguration("whose images are these? Name their licence with --licence, as in --licence CC-BY-4.0")
            total = await images.count()
            if not total:
                raise Rejected(f"there is no image in {images.name}")
            known = await KnownFiles.read(artifacts)
            total = total if limit is None else min(total, limit)
            say(console, f"{total:,} images to look at; the pool holds {len(known.images):,}")
            async with Decoders(num_workers, caps) as decoders, shown(tally, total, console):
                await PoolAdd(artifacts, known, decoders, details, report, tally).run(images, limit=limit)

    with report:
        asyncio.run(until_signal(add()))
    wall_s, written = time.monotonic() - began_s, report.path if tally.refused else None
    show(
        as_json,
        lambda: add_json(tally, wall_s=wall_s, report=written),
        lambda: render_add(tally, wall_s=wall_s, report=written),
    )


@pool_app.command("search")
def search_command(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Words of captions, sources and file names.")] = "",
    like: Annotated[Path | None, typer.Option(help="Search by likeness to this image, mirrored copies included.")] = None,
    category: Category = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show at most so many.")] = 10,
    save: Annotated[Path | None, typer.Option(help="Write the thumbnails into this folder.")] = None,
    meaning: Annotated[bool, typer.Option("--meaning", help="Also by what TEXT means: needs `spiral pool embed`, and the broker.")] = False,
    models: ModelsFile = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    bus_url: BusUrl = "",
    store_url: StoreUrl = "",
    as_json: Json = False,
) -> None:
    """Find images by words, by likeness, or by category alone."""
    if (text and like) or not (text or like or category):
        raise BadConfiguration("search for words, for likeness with --like IMAGE, or for a category with --category alone")
    if meaning and not (text and models):
        raise BadConfiguration("--meaning needs words and a models file: spiral pool search TEXT --meaning --models FILE")
    perceptual_hash = None if like is None else _hash_of(like)

    async def search(pool: Pool, vector: Sequence[float] | None = None) -> list[Hit]:
        if perceptual_hash is not None:
            alike = pool.alike(perceptual_hash, limit=limit, category=category)
            hits = [hit for hit in alike if hit.score >= MIN_LIKENESS]
        elif text:
            hits = pool.search(text, limit=limit, category=category, vector=vector)
        else:
            hits = [Hit(image, 0.0) for image in pool.of_category(category, limit=limit)]
        if save is not None:
            await _save(pool, hits, save)
        return hits

    async def search_by_meaning(session: Session) -> list[Hit]:
        assert models is not None
        async with open_embedder(session, models) as embedder:
            pool = await Pool.open(session.artifacts, embedding_model=embedder.model)
            return await search(pool, (await embedder.embed([text]))[0])

    found = look_up(state_dir, bus_url, store_url, search_by_meaning) if meaning else _in_pool(state_dir, store_url, search)
    show(as_json, lambda: search_json(found), lambda: render_search(found))


@pool_app.command("stats")
def stats_command(state_dir: StateDir = DEFAULT_STATE_DIR, store_url: StoreUrl = "", as_json: Json = False) -> None:
    """Count images by licence, source, domain and category, near duplicates, and refused files."""

    async def count(pool: Pool) -> Pool:
        return pool

    stats = _in_pool(state_dir, store_url, count).stats()
    show(as_json, lambda: stats_json(stats), lambda: render_stats(stats))


pool_app.command("embed")(embed)


@asynccontextmanager
async def _artifacts(state_dir: Path, store_url: str) -> AsyncIterator[Artifacts]:
    """The store that is named, else that of the state directory, whether or not a stack is up there: no broker takes part."""
    where = await asyncio.to_thread(lambda: state_dir.expanduser().resolve())
    async with open_store_url(store_url or (where / "objects").as_uri()) as store:
        yield Artifacts(store, cache_dir=where / "work" / "cli" / "cache", producer=Room.CLI.value)


def _in_pool(state_dir: Path, store_url: str, question: Callable[[Pool], Awaitable[T]]) -> T:
    if not store_url and not (state_dir.expanduser() / "objects").is_dir():
        raise BadConfiguration(f"there is no pool in {state_dir}: `spiral pool add` makes one, or name a store with --store-url")

    async def ask() -> T:
        async with _artifacts(state_dir, store_url) as artifacts:
            return await question(await Pool.open(artifacts))

    return asyncio.run(until_signal(ask()))


def _hash_of(path: Path) -> int:
    try:
        return hash_of(read_file(path, CAPS.max_bytes), CAPS)
    except (Unusable, ImageRefused) as error:
        raise BadConfiguration(f"{path} can't be searched for: {error.detail}") from error


async def _save(pool: Pool, hits: list[Hit], folder: Path) -> None:
    await asyncio.to_thread(lambda: folder.mkdir(parents=True, exist_ok=True))
    for rank, hit in enumerate(hits, start=1):
        thumbnail = await pool.read_thumbnail(hit.image)
        await asyncio.to_thread((folder / thumbnail_name(rank, hit.image)).write_bytes, thumbnail)
