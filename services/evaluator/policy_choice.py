"""Which policy answers: a model in this process, or one on a server."""

from contextlib import AbstractAsyncContextManager

from services.evaluator.policy_model import PolicyModel
from services.evaluator.settings import EvaluatorSettings
from shared.errors import BadConfiguration


def open_policy(settings: EvaluatorSettings) -> AbstractAsyncContextManager[PolicyModel]:
    """The policy that the settings name; imports what it needs and no more: torch for the one in this process.

    Raises:
        BadConfiguration: a server without the directory that it shares.
    """
    if not settings.policy_server_url:
        from services.evaluator.transformers_model import TransformersModel

        return TransformersModel(
            dtype=settings.policy_dtype,
            device=settings.policy_device,
            num_threads=settings.policy_threads,
            max_loaded=settings.policy_max_loaded,
            max_image_pixels=settings.policy_max_image_pixels,
        )
    if settings.policy_server_dir is None:
        raise BadConfiguration(
            "SPIRAL_POLICY_SERVER_URL is set: set SPIRAL_POLICY_SERVER_DIR to a directory that the model server sees at the same path"
        )
    from services.evaluator.vllm_model import VllmModel

    return VllmModel(
        url=settings.policy_server_url,
        directory=settings.policy_server_dir.absolute(),
        max_in_flight=settings.policy_server_in_flight,
        timeout_s=settings.policy_server_timeout_s,
        swap_timeout_s=settings.policy_server_swap_timeout_s,
        max_image_pixels=settings.policy_max_image_pixels,
    )
