"""Colours as their profile means them, for all who read bare values and take them for sRGB."""

import io
import struct

from PIL import Image, ImageCms

_MAX_PROFILE_BYTES = 4_000_000
_SRGB = ImageCms.createProfile("sRGB")


def in_srgb(image: Image.Image, profile: object) -> Image.Image:
    """The image as RGB in sRGB; where there is no profile, or one of no use, with its values as they are."""
    if isinstance(profile, bytes) and len(profile) <= _MAX_PROFILE_BYTES and not _may_take_long(profile):
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            # Most profiles are sRGB's own, and rounding there and back would change pixels for nothing.
            if "sRGB" not in ImageCms.getProfileDescription(own):
                return ImageCms.profileToProfile(image, own, _SRGB, outputMode="RGB") or image
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


def _may_take_long(profile: bytes) -> bool:
    """Whether it holds elements to be run one after the other (tags D2B0 to D2B3), of which a few kilobytes can name thousands."""
    num_tags = int.from_bytes(profile[128:132], "big")
    table = profile[132 : 132 + 12 * num_tags]
    return any(tag.startswith(b"D2B") for tag, _ in struct.iter_unpack("4s8s", table[: len(table) // 12 * 12]))
