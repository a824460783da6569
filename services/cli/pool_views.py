"""What the pool's commands answer, as tables and as JSON values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.pool_add import Tally
from services.cli.words import duration, on_screen, size, words
from shared.pool import Hit, PoolImage, PoolStats

ADD_SCHEMA, SEARCH_SCHEMA, STATS_SCHEMA = "spiral.pool-add/1", "spiral.pool-search/1", "spiral.pool-stats/1"
NUM_SHOWN = 12
_SHORT_ID = 12


def add_json(tally: Tally, *, wall_s: float, report: Path | None) -> dict[str, Any]:
    """What an add did."""
    return {
        "schema": ADD_SCHEMA,
        "num_looked_at": tally.num_looked_at,
        "num_added": tally.num_added,
        "num_known": tally.num_known,
        "num_repeated": tally.num_repeated,
        "refused": dict(tally.refused.most_common()),
        "num_bytes_read": tally.num_bytes_read,
        "num_bytes_stored": tally.num_bytes_stored,
        "wall_s": round(wall_s, 3),
        "refusals_file": None if report is None else str(report),
    }


def render_add(tally: Tally, *, wall_s: float, report: Path | None) -> RenderableType:
    """What an add did, for people."""
    rate = tally.num_looked_at / wall_s if wall_s > 0 else 0.0
    lines: list[RenderableType] = [
        Text(f"{tally.num_looked_at:,} images looked at in {duration(wall_s)}, {rate:,.0f} images/s"),
        Text(f"{tally.num_added:,} added, {size(tally.num_bytes_stored)} stored with their thumbnails"),
    ]
    if tally.num_known or tally.num_repeated:
        lines.append(Text(f"{tally.num_known + tally.num_repeated:,} in the pool already"))
    if tally.refused:
        lines += [Text(f"{tally.refused.total():,} refused"), _counts(tally.refused, named=words)]
    if report is not None:
        lines.append(Text(f"why, file by file: {report}"))
    return Group(*lines)


def search_json(hits: Sequence[Hit]) -> dict[str, Any]:
    """What a search found."""
    return {"schema": SEARCH_SCHEMA, "hits": [_hit(hit) for hit in hits]}


def _hit(hit: Hit) -> dict[str, Any]:
    image = hit.image
    return {
        "image_sha256": image.image_sha256,
        "score": round(hit.score, 6),
        "is_mirrored": hit.is_mirrored,
        "source": image.source,
        "licence": image.licence,
        "caption": image.caption,
        "category": None if image.category is None else image.category.value,
        "width_px": image.width_px,
        "height_px": image.height_px,
        "perceptual_hash": f"{image.perceptual_hash:016x}",
        "page_url": image.page_url,
        "domain": image.domain,
        "origin": image.origin,
        "image_uri": image.image.uri,
        "thumbnail_uri": image.thumbnail.uri,
    }


def render_search(hits: Sequence[Hit]) -> RenderableType:
    """What a search found, the best first."""
    if not hits:
        return Text("nothing found")
    table = Table(box=None, pad_edge=False)
    for name in ("image", "score", "px", "category", "source", "licence", "caption"):
        table.add_column(name, justify="right" if name == "score" else "left", no_wrap=name not in ("source", "caption"))
    for hit in hits:
        image = hit.image
        table.add_row(
            image.image_sha256[:_SHORT_ID],
            f"{hit.score:.2f}{' mirrored' if hit.is_mirrored else ''}",
            f"{image.width_px}×{image.height_px}",
            "" if image.category is None else words(image.category.value),
            Text(on_screen(image.source)),
            Text(on_screen(image.licence)),
            Text(on_screen(image.caption), overflow="ellipsis", no_wrap=True),
        )
    return table


def thumbnail_name(rank: int, image: PoolImage) -> str:
    """The file that `spiral pool search --save` writes for an image."""
    return f"{rank:03}-{image.image_sha256[:_SHORT_ID]}.jpg"


def stats_json(stats: PoolStats) -> dict[str, Any]:
    """What the pool holds."""
    return {
        "schema": STATS_SCHEMA,
        "num_images": stats.num_images,
        "num_image_bytes": stats.num_image_bytes,
        "num_thumbnail_bytes": stats.num_thumbnail_bytes,
        "by_licence": dict(stats.by_licence),
        "by_source": dict(stats.by_source),
        "by_domain": dict(stats.by_domain),
        "by_category": dict(stats.by_category),
        "num_near_duplicate_clusters": stats.num_near_duplicate_clusters,
        "num_near_duplicates": stats.num_near_duplicates,
        "refusals": dict(stats.refusals),
    }


def render_stats(stats: PoolStats) -> RenderableType:
    """What the pool holds, for people."""
    if not stats.num_images and not stats.refusals:
        return Text("the pool is empty: `spiral pool add` takes images in")
    parts: list[RenderableType] = [
        Text(
            f"{stats.num_images:,} images, {size(stats.num_image_bytes)}, and {size(stats.num_thumbnail_bytes)} of thumbnails; "
            f"{stats.num_near_duplicates:,} stand in {stats.num_near_duplicate_clusters:,} near-duplicate cluster(s)"
        )
    ]
    for title, counts in (
        ("licence", stats.by_licence),
        ("source", stats.by_source),
        ("domain", stats.by_domain),
        ("category", stats.by_category),
        ("refused files", stats.refusals),
    ):
        if set(counts) - {""}:
            parts += [Text(f"\n{title}", style="bold"), _counts(counts, named=words if title in ("category", "refused files") else str)]
    return Group(*parts)


def _counts(counts: Mapping[str, int], *, named: Any) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    for name, count in ordered[:NUM_SHOWN]:
        table.add_row(f"{count:,}", Text(on_screen(named(name)) if name else "not known"))
    if len(ordered) > NUM_SHOWN:
        table.add_row(f"{sum(count for _, count in ordered[NUM_SHOWN:]):,}", Text(f"in {len(ordered) - NUM_SHOWN:,} others", style="dim"))
    return table
