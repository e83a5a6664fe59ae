"""The judge: what it is asked, that it learns from pictures, that its renders are made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from farplane.backend.pipeline.colour import logc3_encode
from farplane.backend.train import classifier
from farplane.backend.train.classifier import (
    HEADS,
    UNKNOWN,
    Judge,
    Lessons,
    accuracy,
    asked,
    labels_of,
    look,
    own_lessons,
    pictures_of,
    train_judge,
    votes,
)
from farplane.backend.train.world import WITHOUT_SEASON, Attributes


def test_only_what_can_be_seen_is_asked() -> None:
    assert asked(Attributes("village", "noon", "fog", "winter")) == {
        "kind": "village", "time": "noon", "weather": "fog", "season": "winter",
    }  # fmt: skip
    assert "season" not in asked(Attributes(WITHOUT_SEASON[0], "noon", "fog", "winter"))
    labels = dict(zip(HEADS, labels_of(Attributes("interior", "noon", "fog", "winter")), strict=True))
    assert labels["weather"] == labels["season"] == UNKNOWN
    assert HEADS["time"][labels["time"]] == "noon"


def test_pictures_are_areas_of_the_first_middle_and_last_frame() -> None:
    rng = np.random.default_rng(1)
    linear = rng.random((5, 128, 224, 3)).astype(np.float32)
    pictures = pictures_of(linear)
    assert pictures.shape == (3, 3, 64, 112)
    code = logc3_encode(linear[2])
    assert pictures[1, 2, 10, 20] == pytest.approx(code[20:22, 40:42, 2].mean(), abs=1e-5)
    assert pictures_of(linear.transpose(0, 2, 1, 3)).shape == (3, 3, 112, 64)


def lessons(count: int, rng: np.random.Generator) -> Lessons:
    """Brightness tells the time, colour the kind; every other label is unknown."""
    labels = np.full((count, len(HEADS)), UNKNOWN)
    labels[:, 0], labels[:, 1] = rng.integers(0, 3, count), rng.integers(0, 3, count)
    pictures = rng.normal(0.3, 0.05, (count, 3, 64, 112))
    pictures += 0.12 * labels[:, 1, None, None, None]
    pictures[np.arange(count), labels[:, 0]] += 0.1
    kept = np.arange(count) // 3 % 5 == 0
    labels = np.repeat(labels[::3], 3, 0)
    pictures = np.repeat(pictures[::3], 3, 0)
    return Lessons(pictures.astype(np.float16), labels, kept)


def test_the_judge_learns_what_pictures_tell_and_not_from_those_kept_back() -> None:
    taught = lessons(360, np.random.default_rng(2))
    right = accuracy(train_judge(taught, steps=60, batch=24), taught)
    assert set(right) == {"kind", "time"}  # no picture has a label for the others
    # Of 24 clips kept back; guessing reads 8 of them.
    assert right["kind"] > 0.75
    assert right["time"] > 0.75
    spoiled = Lessons(taught.pictures, np.where(taught.kept[:, None], 0, taught.labels), taught.kept)
    again = train_judge(spoiled, steps=3, batch=8)
    same = train_judge(taught, steps=3, batch=8)
    for a, b in zip(again.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)  # the spoiled labels were never read


def test_features_do_not_depend_on_the_other_pictures() -> None:
    torch.manual_seed(0)
    judge = Judge().eval()
    pictures = np.random.default_rng(3).random((70, 3, 64, 112)).astype(np.float16)
    probabilities, features = look(judge, pictures)
    assert features.shape == (70, 128)
    np.testing.assert_allclose(look(judge, pictures[66:])[1], features[66:], atol=1e-4)
    np.testing.assert_allclose(probabilities["kind"].sum(1), 1, atol=1e-5)
    assert votes(judge, pictures[:3])["time"] in HEADS["time"]
    assert look(judge, pictures[:2].transpose(0, 1, 3, 2))[1].shape == (2, 128)  # upright


def test_its_own_renders_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def clip(index: int) -> tuple[np.ndarray, list[int]]:
        made.append(index)
        return np.full((3, 3, 64, 112), index / 100, np.float16), [index % 3, 0, 0, 0]

    monkeypatch.setattr(classifier, "_own_clip", clip)
    first = own_lessons(tmp_path, 64, lambda _: None)
    assert made == list(range(64))
    second = own_lessons(tmp_path, 64, lambda _: None)
    assert len(made) == 64
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.pictures.shape == (192, 3, 64, 112)
    assert first.kept.reshape(64, 3).all(1).sum() == 8  # every eighth clip, whole
