"""Whether somebody is at an endpoint's address, asked without paying: the list of models that OpenAI-compatible servers have.

Servers without such a list, and keys that may not read it, are no reason to doubt: only what would meet every call counts as away.
"""

import asyncio

import httpx2

_TIMEOUT_S = 5.0
_AWAY = frozenset({502, 503, 504})
_KEY_REFUSED = frozenset({401, 403})


async def knock(http: httpx2.AsyncClient, url: str, key: str | None, *, is_key_doubted: bool) -> str:
    """What keeps an endpoint from answering, in words; empty where nothing is known to.

    Args:
        http: any client.
        url: the base of the endpoint's routes.
        key: what is sent along, where there is one.
        is_key_doubted: whether the endpoint refused the key before.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with asyncio.timeout(_TIMEOUT_S), http.stream("GET", f"{url}/models", headers=headers) as response:
            status = response.status_code
    except (TimeoutError, httpx2.TimeoutException):
        return f"does not answer within {_TIMEOUT_S:g} s"
    except httpx2.TransportError as error:
        return f"can't be reached ({type(error).__name__})"
    if status in _AWAY:
        return f"answers {status}"
    return (
        f"refuses the key ({status}): put a valid one into the file that its api_key_file names"
        if is_key_doubted and status in _KEY_REFUSED
        else ""
    )
