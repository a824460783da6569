"""The image pool: unlabelled images that the operator brought, each with its source and licence, to search by words or by likeness.

`spiral pool add` takes images in; generators open a `Pool` over the same store and see what was committed since. Nothing here is labelled:
captions and categories are what somebody said of an image, data for a search and never an instruction or an answer.
"""

from shared.pool.pool import Pool
from shared.pool.pool_image import Hit, PoolImage, PoolStats

__all__ = ["Hit", "Pool", "PoolImage", "PoolStats"]
