"""Qwen-VL processors for machines without torchvision: images and text, no video.

The stock processors cannot be built there, because their video half needs torchvision. These subclasses differ in nothing else: the same
pixels, tokens and chat template. Imports transformers; `shared/checkpoint.py` is the way in.
"""

from pathlib import Path
from typing import Any

from transformers import AutoProcessor, Qwen2_5_VLConfig, Qwen3VLConfig
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.processing_utils import ProcessorMixin
from transformers.utils import is_torchvision_available


class _ImageOnly:
    """What both families share. Saved directories name no processor class, so that any reader takes its own by the model type."""

    def _set_up(self, image_processor: Any, tokenizer: Any, chat_template: str | None) -> None:
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
        for name in ("image", "video"):
            token = f"<|{name}_pad|>"
            setattr(self, f"{name}_token", token)
            setattr(self, f"{name}_token_id", tokenizer.convert_tokens_to_ids(token))
        for name in ("start", "end"):
            token = f"<|vision_{name}|>"
            setattr(self, f"vision_{name}_token", token)
            setattr(self, f"vision_{name}_token_id", tokenizer.convert_tokens_to_ids(token))

    def to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The saved settings, without a class name that only this project knows."""
        settings: dict[str, Any] = super().to_dict(*args, **kwargs)  # type: ignore[misc]
        settings.pop("processor_class", None)
        return settings

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> list[str]:
        """Saves processor, tokenizer and chat template into one directory."""
        paths: list[str] = super().save_pretrained(save_directory, *args, **kwargs)  # type: ignore[misc]
        tokenizer = self.tokenizer  # type: ignore[attr-defined]
        tokenizer._processor_class = None
        tokenizer.save_pretrained(save_directory)
        return paths


class ImageOnlyQwen3VLProcessor(_ImageOnly, Qwen3VLProcessor):  # type: ignore[misc]
    """`Qwen3VLProcessor` without its video half."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None, **_: Any) -> None:
        self._set_up(image_processor, tokenizer, chat_template)


class ImageOnlyQwen25VLProcessor(_ImageOnly, Qwen2_5_VLProcessor):  # type: ignore[misc]
    """`Qwen2_5_VLProcessor` without its video half."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None, **_: Any) -> None:
        self._set_up(image_processor, tokenizer, chat_template)


IMAGE_ONLY_PROCESSORS: dict[str, Any] = {"qwen3_vl": ImageOnlyQwen3VLProcessor, "qwen2_5_vl": ImageOnlyQwen25VLProcessor}


def register_image_only_processors() -> None:
    """Makes `AutoProcessor` build the image-only processors where torchvision is absent; does nothing where it stands."""
    if is_torchvision_available():
        return
    AutoProcessor.register(Qwen3VLConfig, ImageOnlyQwen3VLProcessor, exist_ok=True)
    AutoProcessor.register(Qwen2_5_VLConfig, ImageOnlyQwen25VLProcessor, exist_ok=True)


def build_processor(path: Path, model_type: str) -> Any:
    """The processor of a checkpoint directory: the stock one where it can be built, else the image-only one.

    The stock processor needs torchvision and the directory's video settings; a directory that was saved without them stays image-only.
    """
    register_image_only_processors()
    has_video_settings = (path / "video_preprocessor_config.json").is_file()
    if model_type in IMAGE_ONLY_PROCESSORS and not (is_torchvision_available() and has_video_settings):
        return IMAGE_ONLY_PROCESSORS[model_type].from_pretrained(path, local_files_only=True)
    return AutoProcessor.from_pretrained(path, local_files_only=True, trust_remote_code=False)
