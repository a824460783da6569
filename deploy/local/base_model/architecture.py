"""The tiny vision-language models: real Qwen3-VL and Qwen2.5-VL classes of transformers, made small.

64×64 px images in patches of 8 px, merged two by two: 16 image tokens. 1.3 M parameters for Qwen3-VL, 5 MB as safetensors.
"""

from typing import Any, Literal

from deploy.local.base_model.tokenizer import SPECIAL_TOKENS

Family = Literal["qwen3_vl", "qwen2_5_vl"]

IMAGE_SIZE_PX = 64
PATCH_SIZE_PX = 8
MERGE_SIZE = 2
NUM_IMAGE_TOKENS = (IMAGE_SIZE_PX // PATCH_SIZE_PX // MERGE_SIZE) ** 2

# 0.02, the usual value, leaves a model this small at chance for the first 20,000 samples.
_INITIALIZER_RANGE = 0.06
_TEXT_WIDTH = 128
_VISION_WIDTH = 96
_NUM_HEADS = 4


def _vision(family: Family) -> dict[str, Any]:
    shared = {
        "depth": 2,
        "hidden_size": _VISION_WIDTH,
        "intermediate_size": 4 * _VISION_WIDTH,
        "num_heads": _NUM_HEADS,
        "patch_size": PATCH_SIZE_PX,
        "spatial_merge_size": MERGE_SIZE,
        "temporal_patch_size": 2,
        "out_hidden_size": _TEXT_WIDTH,
        "initializer_range": _INITIALIZER_RANGE,
    }
    if family == "qwen3_vl":
        return shared | {"num_position_embeddings": (IMAGE_SIZE_PX // PATCH_SIZE_PX) ** 2, "deepstack_visual_indexes": [0]}
    return shared | {"window_size": IMAGE_SIZE_PX, "fullatt_block_indexes": [0, 1]}


def _text(family: Family, vocab_size: int) -> dict[str, Any]:
    head_dim = _TEXT_WIDTH // _NUM_HEADS
    # The three sections (time, height, width) must sum to half of a head.
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [6, 5, 5]}
    text: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": _TEXT_WIDTH,
        "intermediate_size": 3 * _TEXT_WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": _NUM_HEADS,
        "num_key_value_heads": _NUM_HEADS,
        "max_position_embeddings": 1024,
        "initializer_range": _INITIALIZER_RANGE,
        "pad_token_id": SPECIAL_TOKENS.index("<|endoftext|>"),
        "bos_token_id": None,
        "eos_token_id": SPECIAL_TOKENS.index("<|im_end|>"),
    }
    if family == "qwen3_vl":
        return text | {"head_dim": head_dim, "rope_parameters": rope | {"mrope_interleaved": True}}
    return text | {"rope_parameters": rope}


def build_model(family: Family, vocab_size: int, seed: int) -> Any:
    """A randomly initialised model of that family; the same seed gives the same weights. Seeds torch."""
    import torch
    from transformers import (
        GenerationConfig,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
    )

    config_type, model_type = {
        "qwen3_vl": (Qwen3VLConfig, Qwen3VLForConditionalGeneration),
        "qwen2_5_vl": (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
    }[family]
    torch.manual_seed(seed)
    config = config_type(
        vision_config=_vision(family),
        text_config=_text(family, vocab_size),
        image_token_id=SPECIAL_TOKENS.index("<|image_pad|>"),
        video_token_id=SPECIAL_TOKENS.index("<|video_pad|>"),
        vision_start_token_id=SPECIAL_TOKENS.index("<|vision_start|>"),
        vision_end_token_id=SPECIAL_TOKENS.index("<|vision_end|>"),
        # Tied embeddings go stale when weights are swapped in a running inference server.
        tie_word_embeddings=False,
        pad_token_id=SPECIAL_TOKENS.index("<|endoftext|>"),
    )
    model = model_type(config)
    end, pad = SPECIAL_TOKENS.index("<|im_end|>"), SPECIAL_TOKENS.index("<|endoftext|>")
    model.generation_config = GenerationConfig(eos_token_id=[end, pad], pad_token_id=pad, do_sample=False)
    return model


def build_processor(family: Family, tokenizer: Any) -> Any:
    """The image-only processor of that family: 64 px images stay as they are, larger ones are scaled down to about as many pixels."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from deploy.local.base_model.tokenizer import CHAT_TEMPLATE
    from shared.image_only_processor import IMAGE_ONLY_PROCESSORS

    num_pixels = IMAGE_SIZE_PX * IMAGE_SIZE_PX
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=PATCH_SIZE_PX,
        merge_size=MERGE_SIZE,
        temporal_patch_size=2,
        size={"shortest_edge": num_pixels, "longest_edge": num_pixels},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return IMAGE_ONLY_PROCESSORS[family](image_processor, tokenizer, chat_template=CHAT_TEMPLATE)
