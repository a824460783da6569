"""Who gets which image does not hang on who is faster."""

import asyncio
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.generators.agentic.claims import Claims, is_free
from services.generators.agentic.tools.source_caps import SourceCaps, SourceMark
from shared.images.perceptual_hash import mirrored_hash

CAPS = SourceCaps(max_per_domain=2, max_per_cluster=1, max_hamming=8)


def mark(number: int, domain: str = "", bits: int | None = None) -> SourceMark:
    return SourceMark(domain, Random(number).getrandbits(64) if bits is None else bits)


async def granted(wanted: list[list[SourceMark]], order: list[int]) -> list[int | None]:
    """What each candidate gets when they come in an order; those without a wish fail before they claim."""
    claims, found = Claims(len(wanted), CAPS), [None] * len(wanted)

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
    wanted = [[mark(number, f"site{number % 2}") for number in row] for row in numbers]
    shuffled = list(range(len(wanted)))
    rng.shuffle(shuffled)
    assert asyncio.run(granted(wanted, shuffled)) == asyncio.run(granted(wanted, list(range(len(wanted)))))


async def test_an_image_or_its_likeness_is_granted_once() -> None:
    bits = mark(1).perceptual_hash
    alike = [mark(2, bits=bits ^ 0b111), mark(3, bits=mirrored_hash(bits)), mark(1)]
    assert await granted([[mark(1)], [alike[0]], [alike[1]], [alike[2]], [mark(9)]], [4, 3, 2, 1, 0]) == [0, None, None, None, 0]


async def test_a_candidate_that_may_not_have_its_first_choice_gets_its_next() -> None:
    assert await granted([[mark(1)], [mark(1), mark(2)], [mark(2), mark(1), mark(3)]], [0, 1, 2]) == [0, 1, 2]


async def test_a_web_site_supplies_as_many_as_the_cap_says_and_the_pool_is_not_counted() -> None:
    assert await granted([[mark(number, "a.org")] for number in range(4)], [0, 1, 2, 3]) == [0, 0, None, None]
    assert await granted([[mark(number)] for number in range(4)], [0, 1, 2, 3]) == [0, 0, 0, 0]


async def test_a_candidate_may_claim_again_while_it_has_its_turn() -> None:
    claims = Claims(2, CAPS)
    assert await claims.first_free(0, [mark(1)]) == 0
    later = asyncio.create_task(claims.first_free(1, [mark(1), mark(2)]))
    await asyncio.sleep(0)
    assert await claims.first_free(0, [mark(1)]) is None
    assert await claims.first_free(0, [mark(2)]) == 0
    claims.pass_on(0)
    assert await later is None


def test_clusters_are_told_from_strangers() -> None:
    bits = Random(5).getrandbits(64)
    near, far = (1 << 8) - 1, (1 << 9) - 1
    assert not is_free(mark(2, bits=bits ^ near), [mark(1, bits=bits)], CAPS)
    assert is_free(mark(2, bits=bits ^ far), [mark(1, bits=bits)], CAPS)
