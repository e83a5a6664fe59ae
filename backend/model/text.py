"""Prompts for Wan folders, through umT5.  farplane-s has a word encoder of its own: words.py.

Legend: B prompts, L tokens, D text width (4096 in umT5-xxl).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...protocol.errors import FarplaneError

UMT5_LENGTH = 512


class UMT5Encoder:
    """The text encoder of a Wan folder, through transformers: tokenizer/ and text_encoder/ in diffusers' layout.

    Holds the encoder only while it is needed: `close()` frees it, what was encoded stays in the caller's hands.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        try:
            from transformers import AutoTokenizer, UMT5EncoderModel
        except ImportError as error:
            raise missing_package("transformers") from error
        for part in ("tokenizer", "text_encoder"):
            if not (folder / part).is_dir():
                raise FarplaneError("model", f"{folder.name} has no {part} folder", "Download the whole model again")
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
            self.model: Any = UMT5EncoderModel.from_pretrained(
                folder / "text_encoder", dtype=dtype, local_files_only=True, use_safetensors=True
            )
        except Exception as error:  # transformers raises a dozen kinds for one thing: the folder is not whole
            problem = f"the text encoder of {folder.name} does not load ({str(error).splitlines()[0][:200]})"
            raise FarplaneError("model", problem, "Download the model's tokenizer and text_encoder again") from error
        self.model.to(device).eval()
        self.device = device

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts to [B, 512, D]; what lies past a prompt's own tokens is zero, as Wan was trained."""
        inputs = self.tokenizer(
            [clean_prompt(p) for p in prompts],
            padding="max_length",
            max_length=UMT5_LENGTH,
            truncation=True,
            add_special_tokens=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        mask = inputs.attention_mask.to(self.device)
        hidden = self.model(inputs.input_ids.to(self.device), mask).last_hidden_state
        # The attended tokens come first: the tokenizer pads on the right.
        length = mask.gt(0).sum(dim=1, keepdim=True)
        beyond = torch.arange(UMT5_LENGTH, device=self.device) >= length
        return hidden.masked_fill(beyond[..., None], 0)

    def close(self) -> None:
        """Give the encoder's memory back."""
        self.model = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def clean_prompt(prompt: str) -> str:
    """Mend broken Unicode, undo HTML entities and join white space, as Wan's training prompts were."""
    import html

    try:
        import ftfy
    except ImportError as error:
        raise missing_package("ftfy") from error
    return re.sub(r"\s+", " ", html.unescape(html.unescape(ftfy.fix_text(prompt))).strip()).strip()


def missing_package(name: str) -> FarplaneError:
    """What to say when a library that only Wan folders need is not installed."""
    return FarplaneError("model", f"a Wan folder needs the package {name}", 'Install it: pip install "farplane[wan]"')
