"""farplane-s's text encoder: a word list, learned embeddings, learned positions; trained with the transformer."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import torch
from torch import Tensor, nn

from .synonyms import taught_word

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

    def read_as(self, word: str) -> str | None:
        """The word of the vocabulary that stands for a word: itself, one of the same meaning, or None."""
        return word if word in self._index else taught_word(word, self._index)

    def replaced_words(self, prompt: str) -> dict[str, str]:
        """Words that were never taught and what each is read as, in order."""
        read = {word: self.read_as(word) for word in self.words(prompt)[:MAX_WORDS]}
        return {word: known for word, known in read.items() if known is not None and known != word}

    def unknown_words(self, prompt: str) -> list[str]:
        """Words that mean nothing to the model or that lie past MAX_WORDS, in order, each once."""
        words = self.words(prompt)
        return list(dict.fromkeys(w for i, w in enumerate(words) if i >= MAX_WORDS or self.read_as(w) is None))

    def ids(self, prompt: str) -> list[int]:
        """A prompt's words as numbers; one EMPTY for none."""
        read = [self.read_as(word) for word in self.words(prompt)[:MAX_WORDS]]
        return [UNKNOWN if word is None else self._index[word] for word in read] or [EMPTY]

    def bag(self, prompts: list[str]) -> Tensor:
        """[B, len(vocabulary) + 2] float32: each word's share of a prompt, whatever their order."""
        bags = torch.zeros(len(prompts), len(self.vocabulary) + 2)
        for row, prompt in zip(bags, prompts, strict=True):
            ids = torch.tensor(self.ids(prompt))
            row.index_add_(0, ids, torch.full((len(ids),), 1.0 / len(ids)))
        return bags

    def forward(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        ids = [self.ids(prompt) for prompt in prompts]
        length = max(map(len, ids))
        device = self.embedding.weight.device
        table = torch.tensor([row + [EMPTY] * (length - len(row)) for row in ids], device=device)
        mask = torch.tensor([[i < len(row) for i in range(length)] for row in ids], device=device)
        return self.embedding(table) + self.positions[:length], mask
