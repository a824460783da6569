"""What names a candidate and a lease's list of them, whichever kind makes it."""

import hashlib
import json

from shared.domain import Lease


def candidate_id(image: bytes, question: str, choices: tuple[str, ...], answer: str) -> str:
    """Hex sha256 over the image and, as a JSON list, question, choices and answer."""
    digest = hashlib.sha256(image)
    digest.update(json.dumps([question, list(choices), answer]).encode())
    return digest.hexdigest()


def lease_seed(lease: Lease) -> int:
    """The seed of a lease's list, in [0, 2^64): leases of one seed differ by their id."""
    return int.from_bytes(hashlib.sha256(f"{lease.seed}/{lease.lease_id}".encode()).digest()[:8], "big")


def candidates_name(run_id: str, iteration: int, lease_id: str) -> str:
    """The manifest of a lease's candidates."""
    return f"runs/{run_id}/{iteration}/candidates/{lease_id}"
