"""Images of the web: what is kept is whole, upright, good enough and nothing but a picture; what is not has a reason."""

import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from PIL import Image, ImageCms, ImageDraw, ImageFilter, PngImagePlugin

from services.generators.agentic.tools.downloads import Download, DownloadLimits, fetch_image
from services.generators.agentic.tools.fetching import Fetcher, FetchLimits
from services.generators.agentic.tools.quality_floor import QualityFloor, brightness_of, sharpness_of
from services.generators.agentic.tools.refusals import RefusalReason, Refused
from services.generators.agentic.tools.web_search import WebImage
from tests.injections import INJECTIONS, in_metadata
from tests.search_server import Answer, SearchServer
from tests.unit.agentic_tools.loopback import encoded, loopback_fetcher, picture

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
FOUND = WebImage("", "https://pages.example.co.uk/a", "example.co.uk", "A title", "CC BY 4.0", 0, 0)
LIMITS = DownloadLimits(fetch=FetchLimits(max_bytes=3_000_000, timeout_s=10))


@pytest.fixture
def server() -> Iterator[SearchServer]:
    with SearchServer() as running:
        yield running


@pytest.fixture
async def fetcher(server: SearchServer) -> AsyncIterator[Fetcher]:
    async with loopback_fetcher(server.port) as opened:
        yield opened


class Web:
    def __init__(self, server: SearchServer, fetcher: Fetcher) -> None:
        self.server, self.fetcher = server, fetcher

    async def download(self, payload: bytes, limits: DownloadLimits = LIMITS) -> Download:
        url = self.server.serve("/image", Answer(body=payload))
        return await fetch_image(self.fetcher, replace(FOUND, url=url), retrieved_at=NOW, limits=limits)

    async def reason_for(self, payload: bytes, limits: DownloadLimits = LIMITS) -> RefusalReason:
        with pytest.raises(Refused) as caught:
            await self.download(payload, limits)
        assert caught.value.detail
        return caught.value.reason


@pytest.fixture
def web(server: SearchServer, fetcher: Fetcher) -> Web:
    return Web(server, fetcher)


async def test_a_download_says_where_it_comes_from(web: Web) -> None:
    payload = encoded(picture())
    download = await web.download(payload)
    assert download.url == f"{web.server.url}/image"
    assert download.domain == "127.0.0.1"
    assert (download.page_url, download.title, download.licence) == (FOUND.page_url, FOUND.title, FOUND.licence)
    assert download.retrieved_at is NOW
    assert download.original_sha256 == hashlib.sha256(payload).hexdigest()
    assert download.sha256 == hashlib.sha256(download.image).hexdigest()
    assert (download.width_px, download.height_px) == Image.open(io.BytesIO(download.image)).size == (320, 256)


async def test_a_licence_that_nobody_states_is_not_invented(web: Web) -> None:
    url = web.server.serve("/image", Answer(body=encoded(picture())))
    download = await fetch_image(web.fetcher, replace(FOUND, url=url, licence=""), retrieved_at=NOW, limits=LIMITS)
    assert download.licence == ""


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
async def test_every_allowed_format_becomes_a_png_of_the_same_picture(web: Web, format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    original = picture()
    kept = Image.open(io.BytesIO((await web.download(encoded(original, format, **options))).image))
    assert (kept.format, kept.mode) == ("PNG", "RGB")
    difference = max(abs(a - b) for a, b in zip(kept.resize((8, 8)).tobytes(), original.resize((8, 8)).tobytes(), strict=True))
    assert difference <= (8 if format == "JPEG" else 0)


async def test_a_photograph_on_its_side_is_stood_up_and_forgets_its_exif(web: Web) -> None:
    upright = picture(400, 256)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "taken at home"
    exif.get_ifd(0x8825)[1] = "N"
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    kept = Image.open(io.BytesIO((await web.download(encoded(lying, "PNG", exif=exif))).image))
    assert kept.tobytes() == upright.tobytes()
    assert not kept.getexif() and not kept.info


@pytest.mark.parametrize("injection", INJECTIONS[:4], ids=lambda injection: injection.name)
async def test_orders_in_metadata_do_not_come_through(web: Web, injection: object) -> None:
    payload = in_metadata(injection)  # type: ignore[arg-type]
    assert b"XYLOPHONE" in payload
    download = await web.download(payload)
    assert b"XYLOPHONE" not in download.image
    assert not [kind for kind in (b"iTXt", b"tEXt", b"zTXt", b"eXIf", b"iCCP") if kind in download.image]


async def test_colour_profiles_do_not_come_through(web: Web) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for format in ("PNG", "JPEG"):
        payload = encoded(picture(), format, icc_profile=profile)
        assert b"acsp" in profile and Image.open(io.BytesIO(payload)).info["icc_profile"] == profile
        assert b"iCCP" not in (await web.download(payload)).image


async def test_of_a_phones_photo_the_first_picture_is_kept(web: Web) -> None:
    archive = b"PK\x03\x04 an archive"
    other = encoded(picture(), "JPEG")
    original = encoded(picture(), "JPEG", quality=95)
    both = encoded(picture(), "MPO", quality=95, save_all=True, append_images=[picture(seed=2)])
    download = await web.download(both + archive)
    assert download.image == (await web.download(original)).image
    for payload in (original + other, original + archive):
        assert await web.reason_for(payload) is RefusalReason.UNDECODABLE
    too_long = DownloadLimits(fetch=FetchLimits(max_bytes=len(both) - 1, timeout_s=10))
    assert await web.reason_for(both, too_long) is RefusalReason.TOO_LARGE


async def test_transparent_pictures_stand_on_white(web: Web) -> None:
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((100, 100, 200, 200), fill=(200, 0, 0, 255))
    kept = Image.open(io.BytesIO((await web.download(encoded(image))).image))
    assert (kept.getpixel((5, 5)), kept.getpixel((150, 150))) == ((255, 255, 255), (200, 0, 0))


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
async def test_large_pictures_are_kept_smaller(web: Web, format: str) -> None:
    download = await web.download(encoded(picture(4096, 2048), format))
    assert (download.width_px, download.height_px) == (1536, 768)


def animated(format: str) -> bytes:
    frames = [picture(seed=seed) for seed in range(3)]
    return encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=100, lossless=True)


def bomb() -> bytes:
    return encoded(Image.new("1", (30_000, 30_000)), "PNG", optimize=True)


def chunky_text() -> bytes:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("a", "b" * 2_000_000, zip=True)
    return encoded(picture(), pnginfo=chunks)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", RefusalReason.UNDECODABLE),
        (b"\x89PNG\r\n\x1a\n", RefusalReason.UNDECODABLE),
        (encoded(picture())[:-20], RefusalReason.UNDECODABLE),
        (encoded(picture()) + b"PK\x03\x04 an archive", RefusalReason.UNDECODABLE),
        (encoded(picture(), "JPEG") + b"<script>alert(1)</script>", RefusalReason.UNDECODABLE),
        (b"GIF89a" + b"\0" * 100, RefusalReason.UNDECODABLE),
        (encoded(picture(), "GIF"), RefusalReason.UNDECODABLE),
        (encoded(picture(), "BMP"), RefusalReason.UNDECODABLE),
        (encoded(picture(), "TIFF"), RefusalReason.UNDECODABLE),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1/'/></svg>", RefusalReason.UNDECODABLE),
        (b"%PDF-1.7 \xff\xd8\xff", RefusalReason.UNDECODABLE),
        (b"RIFF\x10\0\0\0WAVEfmt ", RefusalReason.UNDECODABLE),
        (animated("PNG"), RefusalReason.UNDECODABLE),
        (animated("WEBP"), RefusalReason.UNDECODABLE),
        (bomb(), RefusalReason.TOO_LARGE),
        (chunky_text(), RefusalReason.UNDECODABLE),
        (encoded(picture()) + b"\0" * 3_000_000, RefusalReason.TOO_LARGE),
        (encoded(Image.new("RGB", (12_000, 40))), RefusalReason.UNDECODABLE),
        (encoded(picture(320, 216)), RefusalReason.TOO_SMALL),
        (encoded(picture(3000, 240)), RefusalReason.TOO_SMALL),
        (encoded(Image.new("RGB", (400, 400), (200, 30, 30))), RefusalReason.BLANK),
        (encoded(Image.new("RGBA", (400, 400), (200, 30, 30, 0))), RefusalReason.BLANK),
        (encoded(picture(800, 800).filter(ImageFilter.GaussianBlur(6))), RefusalReason.BLURRED),
        (encoded(Image.linear_gradient("L").resize((400, 400))), RefusalReason.BLURRED),
    ],
)
async def test_what_is_no_picture_worth_keeping_is_refused_with_a_reason(web: Web, payload: bytes, reason: RefusalReason) -> None:
    assert await web.reason_for(payload) is reason


async def test_drawings_and_pictures_with_a_soft_background_are_kept(web: Web) -> None:
    drawing = Image.new("RGB", (600, 600), "white")
    ImageDraw.Draw(drawing).line((50, 50, 550, 500), fill="black", width=2)
    await web.download(encoded(drawing))
    soft = picture(800, 800).filter(ImageFilter.GaussianBlur(12))
    soft.paste(picture(160, 160, seed=1), (320, 320))
    await web.download(encoded(soft))


async def test_the_floor_is_an_argument(web: Web) -> None:
    small = encoded(picture(64, 64))
    assert await web.reason_for(small) is RefusalReason.TOO_SMALL
    assert (await web.download(small, replace(LIMITS, floor=QualityFloor(min_side_px=32)))).width_px == 64


def test_sharpness_falls_with_blur_and_hangs_on_the_picture_not_on_its_size() -> None:
    sharp = picture(512, 512)
    values = [sharpness_of(brightness_of(sharp.filter(ImageFilter.GaussianBlur(radius)))) for radius in (0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True) and values[0] > 20 * values[-1]
    blurred = sharp.filter(ImageFilter.GaussianBlur(3))
    small, large = (sharpness_of(brightness_of(blurred.resize((side, side)))) for side in (512, 2048))
    assert large == pytest.approx(small, rel=0.3)
