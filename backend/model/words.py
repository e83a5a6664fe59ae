"""farplane-s's text encoder: a word list, learned embeddings, learned positions; trained with the transformer."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import torch
from torch import Tensor, nn

MAX_WORDS = 48
_WORD = re.compile(r"[^\W_]+")  # letters and digits of any script: a word in Japanese is unknown, not absent
EMPTY, UNKNOWN = 0, 1  # ids before the vocabulary's own: no prompt, a word never seen


class WordEncoder(nn.Module):
    """Prompts -> ([B, L, text_dim], mask [B, L]).  L is the longest prompt's number of words, at most MAX_WORDS."""

    def __init__(self, vocabulary: list[str], text_dim: int) -> None:
        super().__init__()
        self.vocabulary = list(vocabulary)
        self.text_dim = text_dim
        self._index = {word: i + 2 for i, word in enumerate(self.vocabulary)}
        self.embedding = nn.Embedding(len(self.vocabulary) + 2, text_dim)
        self.positions = nn.Parameter(torch.randn(MAX_WORDS, text_dim) * 0.1)

    def to_config(self) -> dict[str, Any]:
        """Plain values for JSON; from_config reads them back."""
        return {"vocabulary": self.vocabulary, "text_dim": self.text_dim}

    @classmethod
    def from_config(cls, values: dict[str, Any]) -> WordEncoder:
        """An untrained encoder of a configuration."""
        return cls(list(values["vocabulary"]), int(values["text_dim"]))

    @staticmethod
    def words(prompt: str) -> list[str]:
        """All words of a prompt in order, lower-cased, without accents."""
        letters = (c for c in unicodedata.normalize("NFKD", prompt) if not unicodedata.combining(c))
        return _WORD.findall("".join(letters).lower())

    def unknown_words(self, prompt: str) -> list[str]:
        """Words that the model never saw or that lie past MAX_WORDS, in order, each once."""
        words = self.words(prompt)
        return list(dict.fromkeys(w for i, w in enumerate(words) if i >= MAX_WORDS or w not in self._index))

    def forward(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        words = [self.words(prompt)[:MAX_WORDS] for prompt in prompts]
        ids = [[self._index.get(word, UNKNOWN) for word in row] or [EMPTY] for row in words]
        length = max(map(len, ids))
        device = self.embedding.weight.device
        table = torch.tensor([row + [EMPTY] * (length - len(row)) for row in ids], device=device)
        mask = torch.tensor([[i < len(row) for i in range(length)] for row in ids], device=device)
        return self.embedding(table) + self.positions[:length], mask
