"""The judge: what it is asked, that it learns from pictures, that its renders are made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from farplane.backend.pipeline.colour import logc3_encode
from farplane.backend.train import classifier
from farplane.backend.train.classifier import (
    HEADS,
    UNKNOWN,
    Judge,
    Lessons,
    asked,
    labels_of,
    look,
    own_lessons,
    pictures_of,
    read_kept,
    ready_judge,
    shard_lessons,
    train_judge,
    votes,
)
from farplane.backend.train.data import ClipStore, render_clip, write_shard
from farplane.backend.train.prompts import HELD_OUT_PAIRS
from farplane.backend.train.world import WITHOUT_SEASON, Attributes, random_attributes


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
    turned = ~kept & (np.arange(count) % 4 == 0)
    return Lessons(pictures.astype(np.float16), labels, kept, turned)


def test_the_judge_learns_what_pictures_tell_and_not_from_those_kept_back() -> None:
    taught = lessons(360, np.random.default_rng(2))
    reading = read_kept(train_judge(taught, steps=100, batch=24), taught)
    right = reading.right
    assert set(right) == {"kind", "time"}  # no picture has a label for the others
    assert (reading.clips, reading.taught) == (24, 288)
    shown = np.sum(reading.tables["time"], 1)  # of 24 clips, by what they show
    np.testing.assert_array_equal(shown[:3], np.bincount(taught.labels[taught.kept][::3, 1], minlength=3))
    assert right["time"] == np.trace(reading.tables["time"]) / 24
    # Of 24 clips kept back; guessing reads 8 of them.
    assert right["kind"] > 0.75
    assert right["time"] > 0.75
    spoiled = Lessons(taught.pictures, np.where(taught.kept[:, None], 0, taught.labels), taught.kept, taught.turned)
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
    np.testing.assert_allclose(
        look(judge, pictures[:2, :, :, ::-1].copy())[1], features[:2], atol=1e-4
    )  # its mirror image


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
    assert first.kept.reshape(64, 3).all(1).sum() == 32  # every second clip, whole
    assert first.kept.sum() == 96


def shard(folder: Path, name: str, shape: tuple[int, ...], *, fine: bool = False) -> NDArray[np.float16]:
    """A folder with one shard of pictures of chance, as data.py writes them; returns its code."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(len(name))
    code = rng.random((*shape, 3)).astype(np.float16)
    about = {"kind": "village", "time": "noon", "weather": "fog", "season": "winter"}
    rows = [{"attributes": about, "K": [], "world_from_camera": []} | ({"fine": 0} if fine else {})] * shape[0]
    arrays = {"code": code, "depth": code[..., 0]}
    if fine:
        large = np.repeat(np.repeat(code[:, 0], 4, 1), 4, 2)
        arrays |= {"fine.code": large, "fine.depth": large[..., 0]}
    write_shard(folder / f"{name}.json", arrays, rows)
    return code


def test_shards_teach_clips_single_frames_and_upright_ones(tmp_path: Path) -> None:
    clips = shard(tmp_path, "00001", (2, 5, 64, 112), fine=True)
    upright = shard(tmp_path, "upright", (2, 1, 112, 64))
    found = shard_lessons(ClipStore(tmp_path))
    assert found.pictures.shape == (10, 3, 64, 112)
    np.testing.assert_array_equal(found.pictures[1], clips[0, 2].transpose(2, 0, 1))
    np.testing.assert_allclose(found.pictures[3], clips[0, 0].transpose(2, 0, 1), atol=1e-3)  # the large frame, by area
    np.testing.assert_array_equal(found.turned, np.arange(10) >= 8)
    np.testing.assert_array_equal(found.pictures[9].transpose(2, 1, 0), upright[1, 0])
    assert (found.labels == labels_of(Attributes("village", "noon", "fog", "winter"))).all()
    assert not found.kept.any()
    assert len(shard_lessons(ClipStore(tmp_path), most=3).labels) == 4  # one clip, with its large frame
    assert shard_lessons(ClipStore(tmp_path / "none")).pictures.shape == (0, 3, 64, 112)


def test_a_judge_is_taught_once_for_a_world_and_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        classifier, "_own_clip", lambda i: (np.full((3, 3, 64, 112), i / 100, np.float16), [i % 3, 0, 0, 0])
    )
    taught = []

    def teach(lessons: Lessons) -> Judge:
        taught.append(int((~lessons.kept).sum()))
        return train_judge(lessons, steps=2, batch=4)

    monkeypatch.setattr(classifier, "train_judge", teach)
    data = tmp_path / "images"
    shard(data, "00001", (3, 1, 64, 112))
    first, reading = ready_judge(tmp_path, [data], 32, "world", lambda _: None)
    again, same = ready_judge(tmp_path, [data], 32, "world", lambda _: None)
    assert taught == [16 * 3 + 3]
    assert (reading.clips, reading.taught) == (16, 51)
    assert same == reading
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    ready_judge(tmp_path, [], 32, "world", lambda _: None)
    ready_judge(tmp_path, [data], 32, "another world", lambda _: None)
    assert taught == [51, 48, 51]


@pytest.mark.slow
def test_the_frames_between_need_not_be_rendered() -> None:
    for index in (1, 4):
        pictures, labels = classifier._own_clip(index)
        attributes = random_attributes(classifier.SEEDS + index)
        if index % classifier.NEW_PAIRS == 1:
            attributes = replace(attributes, kind=sorted(HELD_OUT_PAIRS)[0][0], time=sorted(HELD_OUT_PAIRS)[0][1])
        clip = render_clip(classifier.SEEDS + index, 9, 112, 64, attributes=attributes)
        np.testing.assert_array_equal(pictures, pictures_of(clip.linear).astype(np.float16))
        assert labels == labels_of(attributes)
