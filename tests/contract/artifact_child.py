"""A process of its own for the artifact tests: fetches a directory into a shared cache and says where it is."""

import asyncio
import sys
from pathlib import Path

from shared.artifacts import Artifacts
from shared.domain import ArtifactRef
from shared.store import open_store_url


async def main(url: str, cache_dir: Path, ref: ArtifactRef) -> None:
    async with open_store_url(url) as store:
        print(await Artifacts(store, cache_dir=cache_dir, producer="evaluator").fetch_directory(ref))


asyncio.run(main(sys.argv[1], Path(sys.argv[2]), ArtifactRef(sys.argv[3], sys.argv[4], int(sys.argv[5]))))
