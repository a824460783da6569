"""Copies of a picture, graded by how much was done to it: stored again, scaled, cropped, mirrored, edited, and several of these at once.

Every copy is drawn by a seeded generator, so that the same seed plants the same fault. Shares are of the area for edits, of each dimension
for crops.
"""

import io
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

Change = Callable[[Image.Image, Random], Image.Image]
Copy = Callable[[Image.Image, Random], bytes]


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def scaled(factor: float, resampling: Image.Resampling = Image.Resampling.LANCZOS) -> Change:
    return lambda image, _: image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))), resampling)


def cropped(share: float) -> Change:
    """Keeps 1 − share of each dimension, at a random place."""

    def crop(image: Image.Image, rng: Random) -> Image.Image:
        wide, tall = max(1, round(image.width * (1 - share))), max(1, round(image.height * (1 - share)))
        left, top = rng.randint(0, image.width - wide), rng.randint(0, image.height - tall)
        return image.crop((left, top, left + wide, top + tall))

    return crop


def mirrored(image: Image.Image, rng: Random) -> Image.Image:
    return ImageOps.mirror(image)


def _region(image: Image.Image, share: float, rng: Random) -> tuple[int, int, int, int]:
    """A box of that share of the area, between 1 : 2.5 and 2.5 : 1, at a random place."""
    aspect = rng.uniform(0.4, 2.5)
    wide = min(image.width, max(2, round((image.width * image.height * share * aspect) ** 0.5)))
    tall = min(image.height, max(2, round(image.width * image.height * share / wide)))
    left, top = rng.randint(0, image.width - wide), rng.randint(0, image.height - tall)
    return left, top, left + wide, top + tall


def placed_shape(share: float) -> Change:
    def place(image: Image.Image, rng: Random) -> Image.Image:
        changed, box = image.copy(), _region(image, share, rng)
        fill = tuple(rng.randint(0, 255) for _ in range(3))
        pen = ImageDraw.Draw(changed)
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((box[0], box[1], box[2] - 1, box[3] - 1), fill=fill)
        return changed

    return place


def placed_text(share: float) -> Change:
    """Letters that fill a box of that share."""

    def place(image: Image.Image, rng: Random) -> Image.Image:
        changed, box = image.copy(), _region(image, share, rng)
        wide, tall = box[2] - box[0], box[3] - box[1]
        text = "".join(rng.choices("ABCDEFGHKMNPRSTVXYZ0123456789", k=max(1, round(1.6 * wide / tall))))
        fill = tuple(rng.randint(0, 255) for _ in range(3))
        ImageDraw.Draw(changed).text((box[0], box[1]), text, fill=fill, font=ImageFont.load_default(max(6, tall * 0.9)))
        return changed

    return place


def recolored(share: float) -> Change:
    """A region with its colours turned and its brightness changed."""

    def recolor(image: Image.Image, rng: Random) -> Image.Image:
        changed, box = image.copy(), _region(image, share, rng)
        red, green, blue = changed.crop(box).split()
        changed.paste(Image.merge("RGB", (blue, red, green)).point(lambda level: min(255, round(level * 0.8 + 40))), box[:2])
        return changed

    return recolor


def blurred(share: float) -> Change:
    def blur(image: Image.Image, rng: Random) -> Image.Image:
        changed, box = image.copy(), _region(image, share, rng)
        radius = max(1.0, min(box[2] - box[0], box[3] - box[1]) / 6)
        changed.paste(changed.crop(box).filter(ImageFilter.GaussianBlur(radius)), box[:2])
        return changed

    return blur


def watermarked(share: float) -> Change:
    """A line of half-transparent letters that fills a band of that share."""

    def mark(image: Image.Image, rng: Random) -> Image.Image:
        tall = max(6, round(image.height * share * 1.3))
        veil = Image.new("L", image.size, 0)
        place = rng.uniform(0.05, 0.25) * image.width, rng.uniform(0, 1) * (image.height - tall)
        font = ImageFont.load_default(tall)
        text = "SAMPLE PICTURE AGENCY"
        while len(text) > 3 and font.getlength(text) > 0.75 * image.width:
            text = text[:-1]
        ImageDraw.Draw(veil).text(place, text, fill=rng.randint(90, 150), font=font)
        return Image.composite(Image.new("RGB", image.size, rng.choice(["white", "black"])), image, veil)

    return mark


EDITS: dict[str, Callable[[float], Change]] = {
    "shape": placed_shape,
    "text": placed_text,
    "recoloured": recolored,
    "blurred": blurred,
    "watermark": watermarked,
}


def edited(share: float) -> Change:
    """One of `EDITS`, drawn by the generator."""
    return lambda image, rng: EDITS[rng.choice(sorted(EDITS))](share)(image, rng)


def copy(*changes: Change, form: str = "PNG", **options: object) -> Copy:
    """The changes one after the other, then stored."""

    def make(image: Image.Image, rng: Random) -> bytes:
        for change in changes:
            image = change(image, rng)
        return encoded(image, form, **options)

    return make


def _quantized(image: Image.Image, rng: Random) -> Image.Image:
    return image.quantize(64).convert("RGB")


STORED: dict[str, Copy] = {
    "PNG again": copy(),
    "PNG of 64 colours": copy(_quantized),
    "JPEG 95": copy(form="JPEG", quality=95),
    "JPEG 75": copy(form="JPEG", quality=75),
    "JPEG 50": copy(form="JPEG", quality=50),
    "JPEG 30": copy(form="JPEG", quality=30),
    "WEBP 80": copy(form="WEBP", quality=80),
    "WEBP 50": copy(form="WEBP", quality=50),
}
SCALED: dict[str, Copy] = {
    "x2": copy(scaled(2)),
    "x2 nearest": copy(scaled(2, Image.Resampling.NEAREST)),
    "x1.5 bilinear, JPEG 75": copy(scaled(1.5, Image.Resampling.BILINEAR), form="JPEG", quality=75),
    "x0.9": copy(scaled(0.9)),
    "x0.75": copy(scaled(0.75)),
    "x0.5": copy(scaled(0.5)),
    "x0.5, JPEG 75": copy(scaled(0.5), form="JPEG", quality=75),
}
CROPPED: dict[str, Copy] = {
    "cropped 2 %": copy(cropped(0.02)),
    "cropped 5 %": copy(cropped(0.05)),
    "cropped 10 %": copy(cropped(0.10)),
    "cropped 5 %, JPEG 75": copy(cropped(0.05), form="JPEG", quality=75),
    "cropped 10 %, JPEG 75": copy(cropped(0.10), form="JPEG", quality=75),
    "cropped 10 %, x0.75, JPEG 75": copy(cropped(0.10), scaled(0.75), form="JPEG", quality=75),
}
MIRRORED: dict[str, Copy] = {
    "mirrored": copy(mirrored),
    "mirrored, JPEG 75": copy(mirrored, form="JPEG", quality=75),
    "mirrored, cropped 5 %, JPEG 75": copy(mirrored, cropped(0.05), form="JPEG", quality=75),
    "mirrored, cropped 10 %, JPEG 75": copy(mirrored, cropped(0.10), form="JPEG", quality=75),
}
EDITED: dict[str, Copy] = {
    "edited 1 %": copy(edited(0.01)),
    "edited 3 %": copy(edited(0.03)),
    "edited 5 %": copy(edited(0.05)),
    "edited 3 %, JPEG 75": copy(edited(0.03), form="JPEG", quality=75),
    "edited 3 %, mirrored, JPEG 75": copy(edited(0.03), mirrored, form="JPEG", quality=75),
    "edited 3 %, cropped 5 %, JPEG 75": copy(edited(0.03), cropped(0.05), form="JPEG", quality=75),
    "edited 3 %, cropped 10 %, x0.75, JPEG 75": copy(edited(0.03), cropped(0.10), scaled(0.75), form="JPEG", quality=75),
    "edited 3 %, mirrored, cropped 5 %, JPEG 75": copy(edited(0.03), mirrored, cropped(0.05), form="JPEG", quality=75),
}
BEYOND: dict[str, Copy] = {
    "cropped 15 %": copy(cropped(0.15)),
    "cropped 20 %": copy(cropped(0.20)),
    "edited 10 %": copy(edited(0.10)),
    "edited 20 %": copy(edited(0.20)),
    "JPEG 10": copy(form="JPEG", quality=10),
    "x0.25": copy(scaled(0.25)),
}
"""More than is asked for: where the finding ends."""

COPIES: dict[str, Copy] = STORED | SCALED | CROPPED | MIRRORED | EDITED
