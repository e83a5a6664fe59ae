"""farplane-s's text encoder: a word list, learned embeddings, learned positions; trained with the transformer."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .phrases import split_phrases
from .synonyms import taught_word

MAX_WORDS = 48
_WORD = re.compile(r"[^\W_]+")  # letters and digits of any script: a word in Japanese is unknown, not absent
_CLAUSE = re.compile(r"[,;:.!?()\[\]\n]")  # no phrase goes over one of these
EMPTY, OWN = 0, 2  # ids: no prompt; the vocabulary's own begin at OWN.  1 stood for unknown words, which are left out


class Reading(NamedTuple):
    """said : words of a prompt, of which a phrase has several.  known : what they are read as; None is unknown."""

    said: tuple[str, ...]
    known: tuple[str | None, ...]


def respelt(table: Tensor, known: list[str], wanted: list[str]) -> Tensor:
    """A table of words [OWN + len(known), D] for another vocabulary [OWN + len(wanted), D]: a word keeps its row, and
    one that was not known begins at the mean of all that were."""
    rows = {word: table[OWN + i] for i, word in enumerate(known)}
    mean = table[OWN:].mean(0)
    return torch.stack([*table[:OWN], *(rows.get(word, mean) for word in wanted)])


class WordEncoder(nn.Module):
    """Prompts -> ([B, L, text_dim], mask [B, L]).  L is the longest prompt's number of words, at most MAX_WORDS."""

    def __init__(self, vocabulary: list[str], text_dim: int) -> None:
        super().__init__()
        self.vocabulary = list(vocabulary)
        self.text_dim = text_dim
        self._index = {word: i + OWN for i, word in enumerate(self.vocabulary)}
        self.embedding = nn.Embedding(len(self.vocabulary) + OWN, text_dim)
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

    def read(self, prompt: str) -> list[Reading]:
        """A prompt's words and phrases in order, and what each is read as.

        A phrase of the phrase book is read whole; a word of the vocabulary is read as itself, another as one of the
        same meaning if there is one.  No more than MAX_WORDS are read: what comes after them is unknown.
        """
        readings, room = [], MAX_WORDS
        for clause in _CLAUSE.split(prompt):
            for said, phrase in split_phrases(self.words(clause), self._index):
                known = phrase if phrase is not None else tuple(map(self._read_word, said))
                known = known if len(known) <= room else ()
                readings.append(Reading(said, known))
                room -= len(known)
        return readings

    def _read_word(self, word: str) -> str | None:
        return word if word in self._index else taught_word(word, self._index)

    def known_words(self, prompt: str) -> list[str]:
        """The words of the vocabulary that a prompt is read as, in order."""
        return [word for _, known in self.read(prompt) for word in known if word is not None]

    def replaced_words(self, prompt: str) -> dict[str, str]:
        """Words and phrases that are read as others, and as which, in order."""
        read = {" ".join(said): " ".join(w for w in known if w) for said, known in self.read(prompt)}
        return {said: known for said, known in read.items() if known and known != said}

    def unknown_words(self, prompt: str) -> list[str]:
        """Words that mean nothing to the model or that lie past MAX_WORDS, in order, each once."""
        lost = (word for said, known in self.read(prompt) if None in known or not known for word in said)
        return list(dict.fromkeys(lost))

    def ids(self, prompt: str) -> list[int]:
        """A prompt's known words as numbers; one EMPTY for none."""
        return [self._index[word] for word in self.known_words(prompt)] or [EMPTY]

    def bag(self, prompts: list[str]) -> Tensor:
        """[B, len(vocabulary) + OWN] float32: each word's share of a prompt, whatever their order."""
        bags = torch.zeros(len(prompts), len(self.vocabulary) + OWN)
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
