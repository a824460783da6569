"""How a room opens its language models."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from shared.artifacts import Artifacts
from shared.llm.models_file import ModelsConfig
from shared.llm.port import LanguageModels
from shared.llm.tuning import Tuning
from shared.ports import KeyValue
from shared.run_spec import SpendingSpec


def open_models(
    config: ModelsConfig,
    *,
    bucket: Callable[[str], Awaitable[KeyValue]],
    artifacts: Artifacts,
    limits: Callable[[str], Awaitable[SpendingSpec]],
    tuning: Tuning = Tuning(),
) -> AbstractAsyncContextManager[LanguageModels]:
    """The models of a models file, until the block is left; imports the client library, which takes a second, and no earlier.

    Args:
        config: from `read_models_file`.
        bucket: opens a bucket of durable values by name; budgets are kept in one.
        artifacts: where replies are kept, so that nobody pays for one twice.
        limits: what a run may spend, by its id; asked once for each run.
        tuning: waits and limits of the exchange itself.

    Raises:
        BadConfiguration: a key file can't be read.
    """
    from shared.llm.models import opened

    return opened(config, bucket=bucket, artifacts=artifacts, limits=limits, tuning=tuning)
