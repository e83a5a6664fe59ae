"""`farplane train` on tiny data: base, what it paints of the data, then detail; with the learning rate that was given."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from farplane.backend import cli
from farplane.backend.model.weights import load_checkpoint, save_checkpoint
from farplane.backend.model.words import OWN
from farplane.backend.train import detail_train, drafts, train
from farplane.backend.train.adversary import Critic, Duel, export_critic, exported_critic
from farplane.backend.train.data import CLIPS, ClipStore, make_shard

SHARDS, SIZE, FRAMES = 4, (32, 32), 5  # large frames of 128 x 128: one crop of the detail stage
RECIPE = train.Recipe(patch=8, dim=24, heads=2, ffn=32, layers=2, vace_layers=(0,), text_dim=8, head_channels=8)
DETAIL = detail_train.DetailRecipe(channels=8, blocks=1, full_channels=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shard under several names: the trainer wants 64 clips to begin with."""
    folder = tmp_path_factory.mktemp("data")
    make_shard(folder, 0, FRAMES, SIZE)
    for file in list(folder.iterdir()):
        for index in range(1, SHARDS):
            shutil.copy(file, folder / file.name.replace("00000", f"{index:05d}"))
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same networks, narrow; no sheets, which render held-out worlds."""
    monkeypatch.setattr(train, "Recipe", lambda **given: replace(RECIPE, **given))
    monkeypatch.setattr(train.Recipe, "first_step", RECIPE.first_step, raising=False)
    monkeypatch.setattr(drafts, "Recipe", lambda **given: replace(RECIPE, **given))
    monkeypatch.setattr(detail_train, "DetailRecipe", lambda **given: replace(DETAIL, **given))


def farplane_train(out: Path, data: Path, *arguments: str, minutes: float = 0.02) -> None:
    """Run the command, in this process."""
    words = ["train", "--out", str(out), "--data", str(data), "--images", str(out / "none"), "--renderers", "0"]
    words += ["--device", "cpu", "--batch", "2", "--minutes", str(minutes), "--sheets", "1000", *arguments]
    assert (cli.app(words, standalone_mode=False) or 0) == 0


def kept(out: Path, stage: str) -> dict:
    return torch.load(out / stage / "last.pt", map_location="cpu", weights_only=True)


def drawn(data: Path) -> list[Path]:
    return sorted(data.glob("*.draft.npy"))


def test_all_is_base_then_drafts_then_detail(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    write_drafts, load_draft = drafts.write_drafts, ClipStore.load_draft

    def draw(run: Path, folder: Path) -> int:
        order.append("base" if (run / "base" / "last.pt").exists() and not (run / "detail").exists() else "too early")
        order.append(f"{write_drafts(run, folder)} shards drawn")
        return SHARDS

    def load(self: ClipStore, index: int, exact: bool = False) -> np.ndarray | None:
        draft = load_draft(self, index, exact)
        order.append("detail with drafts" if draft is not None else "detail without")
        return draft

    monkeypatch.setattr(drafts, "write_drafts", draw)
    monkeypatch.setattr(ClipStore, "load_draft", load)
    np.save(data / "00001.draft.npy", np.zeros((1, 1), np.float16))  # of an earlier network
    farplane_train(tmp_path, data, "--learning-rate", "3e-4")
    assert list(dict.fromkeys(order)) == ["base", f"{SHARDS} shards drawn", "detail with drafts"]
    assert [np.load(path).shape for path in drawn(data)] == [(CLIPS, 2, *SIZE, 3)] * SHARDS
    for stage in ("base", "detail"):
        assert kept(tmp_path, stage)["recipe"]["learning_rate"] == 3e-4
        assert kept(tmp_path, stage)["recipe"]["batch"] == 2
        assert kept(tmp_path, stage)["state"]["step"] > 0

    # Again, with the time spent: nothing is trained and nothing drawn anew, but for what is missing.
    times = {path: path.stat().st_mtime_ns for path in drawn(data)}
    missing = drawn(data)[2]
    missing.unlink()
    farplane_train(tmp_path, data)
    assert drawn(data) == list(times)
    assert [path for path in drawn(data) if path.stat().st_mtime_ns != times[path]] == [missing]


def test_a_stage_alone_draws_nothing(data: Path, tmp_path: Path) -> None:
    for path in drawn(data):
        path.unlink()
    for stage, other in (("base", "detail"), ("detail", "")):
        farplane_train(tmp_path, data, "--stage", stage, minutes=0.005)
        assert (tmp_path / stage / "last.pt").exists()
        assert not other or not (tmp_path / other).exists()
    assert not drawn(data)
    assert kept(tmp_path, "base")["recipe"]["learning_rate"] == RECIPE.learning_rate, (
        "each its own, where none is given"
    )
    assert kept(tmp_path, "detail")["recipe"]["learning_rate"] == DETAIL.learning_rate


def test_training_goes_on_from_an_exported_checkpoint(data: Path, tmp_path: Path) -> None:
    """What is in the repository is enough to go on with: both stages and the critic begin where they stood."""
    first, folder, second = tmp_path / "first", tmp_path / "exported", tmp_path / "second"
    farplane_train(first, data, "--adversarial", "0.8")
    train.export(first, folder)
    farplane_train(second, data, "--start-from", str(folder), "--adversarial", "0.8", minutes=0.0)
    ours, theirs = kept(first, "detail")["duel"], kept(second, "detail")["duel"]
    assert theirs["told"] == pytest.approx(ours["told"], rel=1e-6)  # float32
    for name, value in ours["critic"].items():
        torch.testing.assert_close(theirs["critic"][name], value, rtol=5e-4, atol=1e-7)  # as below
    for stage in ("base", "detail"):
        ours, theirs = kept(first, stage)["ema"], kept(second, stage)["ema"]
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            # Exported in float16: 11 bits, and 6e-8 the least that it tells from zero.
            torch.testing.assert_close(theirs[name], value, rtol=5e-4, atol=1e-7)


def test_a_checkpoint_that_knew_fewer_words_keeps_those_it_knew(data: Path, tmp_path: Path) -> None:
    first, folder, second = tmp_path / "first", tmp_path / "exported", tmp_path / "second"
    farplane_train(first, data)
    train.export(first, folder)
    had = load_checkpoint(folder)
    assert had.detail is not None
    words, lost = had.text.vocabulary, [3, 40]
    had.text.vocabulary = [word for i, word in enumerate(words) if i not in lost]
    stay = [i for i in range(OWN + len(words)) if i - OWN not in lost]
    had.text.embedding = torch.nn.Embedding.from_pretrained(had.text.embedding.weight[stay].detach())
    had.detail.words.weight = torch.nn.Parameter(had.detail.words.weight[:, stay].detach())
    had.detail.config = replace(had.detail.config, words=len(stay))
    save_checkpoint(folder, had)
    farplane_train(second, data, "--start-from", str(folder), minutes=0.0)
    for stage, name, axis in (("base", "text.embedding.weight", 0), ("detail", "words.weight", 1)):
        ours, theirs = kept(first, stage)["ema"][name], kept(second, stage)["ema"][name]
        rows = torch.tensor(stay)
        torch.testing.assert_close(theirs.index_select(axis, rows), ours.index_select(axis, rows), rtol=5e-4, atol=1e-7)


def test_a_critic_that_knew_fewer_words_keeps_those_it_knew(tmp_path: Path) -> None:
    known, wanted = ["fog", "rain"], ["dusk", "fog", "rain"]
    duel = Duel(Critic(OWN + len(known)), 1.0, 1e-3)
    export_critic(duel.kept(), tmp_path)
    found = exported_critic(tmp_path, known, wanted)
    assert found is not None
    assert Duel(Critic(OWN + len(wanted)), 1.0, 1e-3).fits(found)
    rows, before = found["critic"]["words.weight"], duel.critic.words.weight.detach()
    for i, word in enumerate(known):
        there = rows[:, OWN + wanted.index(word)]
        torch.testing.assert_close(there, before[:, OWN + i], rtol=5e-4, atol=1e-7)  # float16, as above
    assert exported_critic(tmp_path / "none", known, wanted) is None
