"""The reference: a tiny WanVACEPipeline with random weights, made and saved by diffusers itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

# One core, so that sums are formed in one order and the same test gives the same figure everywhere.
torch.set_num_threads(1)

WORDS = ["a", "valley", "dolly", "at", "dusk", "fog", "blur", "snow", "over", "the", "coast"]


@pytest.fixture(scope="session")
def randomise() -> Callable[[torch.nn.Module, int], None]:
    """Gives a module seeded weights in place."""
    return randomise_weights


def randomise_weights(module: torch.nn.Module, seed: int) -> None:
    """Weights of a size at which every branch matters: diffusers' own start leaves some near zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        size = 0.1 if parameter.ndim < 2 else 1.0 / parameter[0].numel() ** 0.5
        values = torch.randn(parameter.shape, generator=generator) * size
        is_norm = "norm" in name and parameter.ndim == 1 and name.endswith("weight")
        parameter.data.copy_(1 + values if is_norm else values)


@pytest.fixture(scope="session")
def diffusers() -> Any:
    """The library, or a skip where the `wan` extra is not installed."""
    return pytest.importorskip("diffusers")


def make_pipeline(diffusers: Any) -> Any:
    """Random weights, fixed by seeds."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0)] + [(word, -2.0) for word in WORDS]
    pieces += [(letter, -6.0) for letter in "abcdefghijklmnopqrstuvwxyz" if letter != "a"]
    backend = Tokenizer(models.Unigram(pieces, unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    text = UMT5EncoderModel(
        UMT5Config(vocab_size=len(pieces), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, dropout_rate=0.0)
    )
    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    transformer = diffusers.WanVACETransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=22,
        text_dim=32,
        ffn_dim=50,
        num_layers=3,
        vace_layers=[0, 2],
        rope_max_seq_len=64,
    )
    randomise_weights(transformer, 1)
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    pipeline = diffusers.WanVACEPipeline(tokenizer, text.eval(), vae.eval(), scheduler, transformer.eval())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def pipeline(diffusers: Any) -> Any:
    """The tiny WanVACEPipeline."""
    return make_pipeline(diffusers)


@pytest.fixture(scope="session")
def wan_folder(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, saved by diffusers.  Read it only; copy it to damage it."""
    folder = tmp_path_factory.mktemp("wan") / "tiny-vace"
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
