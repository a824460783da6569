"""Distinct pictures without end, made from seeds: what photographs, documents and drawings look like to a copy detector.

No real collection can be shipped or fetched, so the families below stand for them: octaves of noise for landscapes and textures, shaded
bodies for things, skylines, portraits of one composition, documents, tables and charts of few layouts, and skies with hardly anything in
them. Pictures of one family are as alike as its layouts allow, which is the point: they are the hard negatives.
"""

import io
import math
import re
from collections.abc import Callable
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Draw = Callable[[Random, tuple[int, int]], Image.Image]
Plane = npt.NDArray[np.float32]

WORDS = re.findall(
    r"\w+",
    "amber harbour ledger window quarter minister copper garden signal weather station average theory surface marble patient northern "
    "velocity carbon ratio treaty sodium liver canvas valley engine autumn motion border candle ticket museum planet fabric silver bridge "
    "market doctor volume pressure island current needle orbit tissue basin pattern figure column branch kernel office letter village "
    "summit lantern protein glacier sample margin chamber thunder meadow pepper canal vessel granite fossil enzyme tariff census ballot",
)
SIZES = ((160, 160), (224, 224), (256, 192), (192, 256), (320, 240), (400, 300), (300, 400), (384, 384), (512, 340))


def noise(rng: Random, size: tuple[int, int], first: int, octaves: int, fall: float = 0.55) -> Plane:
    """Octaves of smooth noise in [0, 1], width × height px; the first has `first` cells a side."""
    width, height = size
    grid = np.random.default_rng(rng.getrandbits(32))
    total = np.zeros((height, width), dtype=np.float32)
    weight, cells = 1.0, first
    for _ in range(octaves):
        small = Image.fromarray(grid.random((min(cells + 1, height), min(cells + 1, width)), dtype=np.float32))
        total += weight * np.asarray(small.resize(size, Image.Resampling.BICUBIC))
        weight, cells = weight * fall, cells * 2
    low, high = float(total.min()), float(total.max())
    scaled: Plane = (total - low) / (high - low + 1e-6)
    return scaled


def color(rng: Random, low: int = 0, high: int = 255) -> tuple[int, int, int]:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def blend(share: Plane, first: tuple[int, int, int], second: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Height × width × 3 between two colours."""
    mixed: npt.NDArray[np.float32] = share[..., None] * np.array(second, np.float32) + (1 - share[..., None]) * np.array(first, np.float32)
    return mixed


def picture(pixels: npt.NDArray[np.float32], rng: Random, grain: float = 3.0) -> Image.Image:
    """Pixels with a camera's grain."""
    grid = np.random.default_rng(rng.getrandbits(32))
    noisy = pixels + grain * grid.standard_normal(pixels.shape[:2], dtype=np.float32)[..., None]
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def landscape(rng: Random, size: tuple[int, int]) -> Image.Image:
    """A sky over ranges of hills, each with its own colour and roughness."""
    width, height = size
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    clouds = noise(rng, size, rng.randint(2, 6), 4)
    pixels = blend(0.6 * down + 0.4 * clouds, color(rng, 60, 230), color(rng, 120, 255))
    horizon = rng.uniform(0.3, 0.6)
    for _ in range(rng.randint(1, 4)):
        ridge = horizon + rng.uniform(0.05, 0.25) * (noise(rng, (width, 1), rng.randint(2, 9), 4)[0] - 0.5)
        texture = noise(rng, size, rng.randint(6, 24), 4, 0.8)
        hills = blend(texture, color(rng, 0, 140), color(rng, 40, 210))
        pixels = np.where((down > ridge[None, :])[..., None], hills, pixels)
        horizon += rng.uniform(0.1, 0.2)
    return picture(pixels, rng)


def texture(rng: Random, size: tuple[int, int]) -> Image.Image:
    """Waves, weave or stone: detail everywhere and no subject."""
    width, height = size
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    warp = noise(rng, size, rng.randint(2, 8), 5, rng.uniform(0.5, 0.9))
    angle, length = rng.uniform(0, math.pi), rng.uniform(12, 60)
    wave = np.sin((x * math.cos(angle) + y * math.sin(angle)) / length * math.tau / 2 + rng.uniform(2, 14) * warp)
    share = 0.5 + 0.5 * wave if rng.random() < 0.5 else warp
    return picture(blend(share.astype(np.float32), color(rng), color(rng)), rng, 6)


def things(rng: Random, size: tuple[int, int]) -> Image.Image:
    """Shaded bodies with shadows on a table before a wall."""
    width, height = size
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    edge = rng.uniform(0.35, 0.65) * height
    wall = blend(noise(rng, size, 3, 3), color(rng, 90, 230), color(rng, 120, 255))
    table = blend(noise(rng, size, rng.randint(4, 30), 3), color(rng, 30, 180), color(rng, 60, 220))
    pixels = np.where((y > edge)[..., None], table, wall)
    for _ in range(rng.randint(2, 7)):
        across, up = rng.uniform(0.05, 0.22) * width, rng.uniform(0.08, 0.3) * height
        left, top = rng.uniform(0, width), rng.uniform(0.3, 0.95) * height
        far = ((x - left) / across) ** 2 + ((y - top) / up) ** 2
        shadow = np.exp(-((((x - left - across * 0.4) / across) ** 2 + ((y - top - up * 0.8) / (up * 0.4)) ** 2) / 1.5))
        pixels = pixels * (1 - 0.5 * shadow[..., None])
        light = np.clip(1.1 - 0.5 * np.hypot((x - left + across * 0.4) / across, (y - top + up * 0.4) / up), 0.15, 1.2)
        pixels = np.where((far < 1)[..., None], light[..., None] * np.array(color(rng, 40, 255), np.float32), pixels)
    return picture(pixels.astype(np.float32), rng)


def portrait(rng: Random, size: tuple[int, int]) -> Image.Image:
    """One composition for all: a head and shoulders in the middle, before a soft background."""
    width, height = size
    pixels = blend(noise(rng, size, rng.randint(2, 5), 3), color(rng, 30, 220), color(rng, 60, 255))
    image = picture(pixels, rng, 0).filter(ImageFilter.GaussianBlur(width / 60))
    pen = ImageDraw.Draw(image)
    middle, top = width * rng.uniform(0.42, 0.58), height * rng.uniform(0.16, 0.28)
    half, tall = width * rng.uniform(0.13, 0.2), height * rng.uniform(0.32, 0.44)
    skin = tuple(round(part * rng.uniform(0.55, 1.1)) for part in (220, 180, 150))
    pen.ellipse((middle - 2.2 * half, top + tall * 0.95, middle + 2.2 * half, height * 1.4), fill=color(rng, 10, 230))
    pen.ellipse(
        (middle - 1.25 * half, top - tall * 0.18, middle + 1.25 * half, top + tall * rng.uniform(0.6, 1.1)), fill=color(rng, 5, 120)
    )
    pen.ellipse((middle - half, top, middle + half, top + tall), fill=skin)
    for side in (-1, 1):
        x, y, eye = middle + side * half * rng.uniform(0.35, 0.5), top + tall * rng.uniform(0.36, 0.46), half * rng.uniform(0.1, 0.18)
        pen.ellipse((x - eye, y - eye * 0.6, x + eye, y + eye * 0.6), fill="white")
        pen.ellipse((x - eye / 2, y - eye / 2, x + eye / 2, y + eye / 2), fill=color(rng, 0, 120))
    wide, y = half * rng.uniform(0.25, 0.5), top + tall * rng.uniform(0.7, 0.8)
    pen.ellipse((middle - wide, y, middle + wide, y + tall * rng.uniform(0.02, 0.08)), fill=(150, 60, 60))
    return picture(np.asarray(image.filter(ImageFilter.GaussianBlur(width / 200)), np.float32), rng)


def skyline(rng: Random, size: tuple[int, int]) -> Image.Image:
    """Towers with lit windows."""
    width, height = size
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    image = picture(blend(down, color(rng, 10, 200), color(rng, 80, 255)), rng, 0)
    pen, left = ImageDraw.Draw(image), -rng.uniform(0, 0.1) * width
    while left < width:
        wide, top = width * rng.uniform(0.06, 0.16), height * rng.uniform(0.15, 0.75)
        wall, lit = color(rng, 10, 120), color(rng, 150, 255)
        pen.rectangle((left, top, left + wide, height), fill=wall)
        across, tall = max(3.0, wide / rng.randint(3, 6)), max(4.0, height / rng.randint(16, 30))
        for column in range(int(wide / across)):
            for row in range(int((height - top) / tall)):
                if rng.random() < 0.55:
                    x, y = left + (column + 0.25) * across, top + (row + 0.25) * tall
                    pen.rectangle((x, y, x + across / 2, y + tall / 2), fill=lit)
        left += wide * rng.uniform(0.8, 1.3)
    return picture(np.asarray(image, np.float32), rng)


def night(rng: Random, size: tuple[int, int]) -> Image.Image:
    """Hardly anything: a dark or bright field with a few dots."""
    width, height = size
    image = Image.new("RGB", size, rng.choice([color(rng, 0, 30), color(rng, 225, 255)]))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(0, 5)):
        x, y, far = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.01, 0.06) * width
        pen.ellipse((x - far, y - far, x + far, y + far), fill=color(rng))
    return picture(np.asarray(image, np.float32), rng, 1)


def document(rng: Random, size: tuple[int, int]) -> Image.Image:
    """A page of text in one of few layouts."""
    width, height = size
    image = Image.new("RGB", size, (255, 255, rng.choice([255, 245, 235])))
    pen, unit = ImageDraw.Draw(image), height / rng.choice([18, 24, 30])
    font = ImageFont.load_default(unit * 0.8)
    margin, columns = width * rng.choice([0.06, 0.1]), rng.choice([1, 1, 2])
    pen.text((margin, unit * 0.7), " ".join(rng.choices(WORDS, k=3)).title(), fill="black", font=ImageFont.load_default(unit * 1.3))
    for column in range(columns):
        left, wide = margin + column * (width - margin) / columns, (width - margin) / columns - margin
        for row in range(3, round(height / unit) - 1):
            if rng.random() > 0.1:
                pen.text((left, row * unit), _line(rng, pen, font, wide), fill="black", font=font)
    return image


def _line(rng: Random, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, wide: float) -> str:
    """Words that fill a width in px."""
    line = rng.choice(WORDS)
    while pen.textlength(grown := f"{line} {rng.choice(WORDS)}", font) <= wide:
        line = grown
    return line


def table(rng: Random, size: tuple[int, int]) -> Image.Image:
    """Rows of numbers under a head, ruled."""
    width, height = size
    image = Image.new("RGB", size, "white")
    pen, rows, columns = ImageDraw.Draw(image), rng.randint(5, 12), rng.randint(2, 5)
    tall, wide = height / (rows + 1), width / columns
    font, head = ImageFont.load_default(min(tall * 0.6, wide * 0.22)), color(rng, 150, 230)
    pen.rectangle((0, 0, width, tall), fill=head)
    for row in range(rows + 1):
        pen.line((0, row * tall, width, row * tall), fill="black")
        for column in range(columns):
            text = rng.choice(WORDS) if row == 0 or column == 0 else f"{rng.uniform(0, 10 ** rng.randint(1, 4)):,.1f}"
            pen.text((column * wide + wide * 0.08, row * tall + tall * 0.15), text, fill="black", font=font)
    for column in range(columns):
        pen.line((column * wide, 0, column * wide, height), fill="black")
    return image


def chart(rng: Random, size: tuple[int, int]) -> Image.Image:
    """Bars, lines or points between axes, with labels."""
    width, height = size
    image = Image.new("RGB", size, rng.choice(["white", "white", (240, 240, 245)]))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(height / 22)
    left, right, top, bottom = width * 0.12, width * 0.96, height * 0.1, height * 0.88
    pen.text((width * 0.3, height * 0.02), " ".join(rng.choices(WORDS, k=2)), fill="black", font=font)
    for step in range(6):
        y = bottom - step * (bottom - top) / 5
        pen.line((left, y, right, y), fill=(210, 210, 210))
        pen.text((width * 0.02, y - height / 44), str(step * rng.choice([10, 20, 50])), fill="black", font=font)
    kind, num = rng.choice(["bars", "lines", "points"]), rng.randint(4, 12)
    for _ in range(1 if kind != "lines" else rng.randint(1, 3)):
        fill, values = color(rng, 20, 200), [rng.random() for _ in range(num)]
        places = [(left + (at + 0.5) * (right - left) / num, bottom - value * (bottom - top)) for at, value in enumerate(values)]
        if kind == "lines":
            pen.line(places, fill=fill, width=max(2, width // 120))
        for x, y in places:
            half = (right - left) / num * 0.35 if kind == "bars" else width / 70
            pen.rectangle((x - half, y, x + half, bottom), fill=fill) if kind == "bars" else pen.ellipse(
                (x - half, y - half, x + half, y + half), fill=fill
            )
    pen.line((left, top, left, bottom, right, bottom), fill="black", width=2)
    return image


FAMILIES: dict[str, Draw] = {
    "landscape": landscape,
    "texture": texture,
    "things": things,
    "portrait": portrait,
    "skyline": skyline,
    "night": night,
    "document": document,
    "table": table,
    "chart": chart,
}


def draw(family: str, number: int | str, size: tuple[int, int] | None = None) -> Image.Image:
    """The picture of a family with that number, RGB; without a size it has one of its own, width × height px."""
    rng = Random(f"{family}/{number}")
    own = rng.choice(SIZES)
    return FAMILIES[family](rng, size or own).convert("RGB")


def opened(payload: bytes) -> Image.Image:
    """A stored picture, RGB."""
    return Image.open(io.BytesIO(payload)).convert("RGB")
