"""Prompts into what the transformer reads: the small trained word encoder, and umT5 for Wan folders.

Legend: B prompts, L tokens, D text width (`text_dim`).
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...protocol.errors import FarplaneError

UMT5_LENGTH = 512
_WORD = re.compile(r"[^\W\d_]+|\d+")


def split_words(prompt: str) -> list[str]:
    """Lower-case words and whole numbers in order; accents are dropped, all else separates."""
    letters = (c for c in unicodedata.normalize("NFKD", prompt) if not unicodedata.combining(c))
    return _WORD.findall("".join(letters).casefold())


class WordEncoder(nn.Module):
    """One learned vector a word plus one a position; trained together with the transformer.

    Every prompt starts with a token of its own, so the empty prompt (guidance's negative, text dropout) is that token
    alone.  A word outside the vocabulary falls by its hash into one of `unknown` shared vectors.
    """

    def __init__(self, vocabulary: Sequence[str], dim: int, *, max_words: int = 48, unknown: int = 1) -> None:
        super().__init__()
        if len(set(vocabulary)) != len(vocabulary):
            raise ValueError("the vocabulary names a word twice")
        if any(split_words(word) != [word] for word in vocabulary):
            raise ValueError("the vocabulary holds what is no single lower-case word or number")
        self.vocabulary = tuple(vocabulary)
        self.dim = dim
        self.max_words = max_words
        self.unknown = unknown
        self._index = {word: 1 + unknown + i for i, word in enumerate(self.vocabulary)}
        self.words = nn.Embedding(1 + unknown + len(self.vocabulary), dim)
        self.positions = nn.Parameter(torch.randn(1 + max_words, dim) * 0.1)

    def token(self, word: str) -> int:
        """The row of `words` that stands for a word; row 0 is the start of every prompt."""
        if word in self._index:
            return self._index[word]
        return 1 + zlib.crc32(word.encode()) % self.unknown

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of the prompt that the encoder was never trained on or that lie past its length, each once."""
        words = split_words(prompt)
        lost = [w for i, w in enumerate(words) if w not in self._index or i >= self.max_words]
        return list(dict.fromkeys(lost))

    def forward(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Prompts to hidden [B, L, D] and mask [B, L] bool, L = 1 + the longest prompt's words (max_words at most)."""
        device = self.positions.device
        rows = [[0] + [self.token(w) for w in split_words(p)[: self.max_words]] for p in prompts]
        length = max(len(row) for row in rows)
        tokens = torch.tensor([row + [0] * (length - len(row)) for row in rows], device=device)
        mask = torch.tensor([[i < len(row) for i in range(length)] for row in rows], device=device)
        return self.words(tokens) + self.positions[:length], mask

    def to_config(self) -> dict[str, Any]:
        """Plain values for JSON; from_config makes an encoder of the same shape."""
        return {
            "vocabulary": list(self.vocabulary),
            "dim": self.dim,
            "max_words": self.max_words,
            "unknown": self.unknown,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WordEncoder:
        """An untrained encoder of the shape that to_config described."""
        return cls(config["vocabulary"], config["dim"], max_words=config["max_words"], unknown=config["unknown"])


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
        return hidden * (torch.arange(UMT5_LENGTH, device=self.device) < length)[..., None]

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
