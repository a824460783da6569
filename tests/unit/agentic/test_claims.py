"""Who gets which image does not hang on who is faster."""

import asyncio
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.generators.agentic.claims import CLUSTER_BITS, Claim, Claims, is_one_cluster
from shared.images.perceptual_hash import mirrored_hash


def claim(number: int, domain: str = "", bits: int | None = None) -> Claim:
    return Claim(f"{number:064x}", Random(number).getrandbits(64) if bits is None else bits, domain)


async def granted(wanted: list[list[Claim]], order: list[int]) -> list[int | None]:
    """What each candidate gets when they come in an order; those without a wish fail before they claim."""
    claims, found = Claims(len(wanted)), [None] * len(wanted)

    async def one(index: int) -> None:
        if wanted[index]:
            found[index] = await claims.first_free(index, wanted[index])
        claims.pass_on(index)

    tasks = []
    for index in order:
        tasks.append(asyncio.create_task(one(index)))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    return found


@given(st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(numbers: list[list[int]], rng: Random) -> None:
    wanted = [[claim(number, f"site{number % 2}") for number in row] for row in numbers]
    shuffled = list(range(len(wanted)))
    rng.shuffle(shuffled)
    assert asyncio.run(granted(wanted, shuffled)) == asyncio.run(granted(wanted, list(range(len(wanted)))))


async def test_an_image_or_its_likeness_is_granted_once() -> None:
    bits = claim(1).perceptual_hash
    alike = [claim(2, bits=bits ^ 0b111), claim(3, bits=mirrored_hash(bits)), claim(1)]
    assert await granted([[claim(1)], [alike[0]], [alike[1]], [alike[2]], [claim(9)]], [4, 3, 2, 1, 0]) == [0, None, None, None, 0]


async def test_a_candidate_that_may_not_have_its_first_choice_gets_its_next() -> None:
    assert await granted([[claim(1)], [claim(1), claim(2)], [claim(2), claim(1), claim(3)]], [0, 1, 2]) == [0, 1, 2]


async def test_a_web_site_supplies_two_and_the_pool_is_not_counted() -> None:
    assert await granted([[claim(number, "a.org")] for number in range(4)], [0, 1, 2, 3]) == [0, 0, None, None]
    assert await granted([[claim(number)] for number in range(4)], [0, 1, 2, 3]) == [0, 0, 0, 0]


def test_clusters_are_told_from_strangers() -> None:
    bits = Random(5).getrandbits(64)
    near, far = (1 << CLUSTER_BITS) - 1, (1 << (CLUSTER_BITS + 1)) - 1
    assert is_one_cluster(claim(1, bits=bits), claim(2, bits=bits ^ near))
    assert not is_one_cluster(claim(1, bits=bits), claim(2, bits=bits ^ far))
