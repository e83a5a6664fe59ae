"""The critic beside the detail stage: that it learns, how loud it is, what it must not see, and that a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from farplane.backend.train.adversary import Critic, Duel
from farplane.backend.train.data import ClipStore
from farplane.backend.train.detail_train import DetailPlan, DetailRecipe, make_detail_batch
from farplane.backend.train.loop import Run

WORDS = 5
RECIPE = DetailRecipe(channels=8, blocks=1, batch=6, crop=64, crops_a_frame=3, adversarial=0.8, text_dropout=0.0)


def made_duel(weight: float = 1.0, learning_rate: float = 2e-3) -> Duel:
    torch.manual_seed(3)
    return Duel(Critic(WORDS, channels=12), weight, learning_rate)


def grain(count: int, amplitude: float, seed: int) -> Tensor:
    return amplitude * torch.randn(count, 3, 32, 40, generator=torch.Generator().manual_seed(seed))


def test_scores_are_one_for_eight_by_eight_pixels() -> None:
    assert Critic(WORDS)(torch.zeros(2, 3, 40, 72), torch.zeros(2, WORDS)).shape == (2, 1, 5, 9)


def test_it_learns_to_tell_texture_from_none() -> None:
    duel, words = made_duel(), torch.zeros(4, WORDS)
    for step in range(60):
        duel.teach(grain(4, 0.25, step), grain(4, 0.05, 1000 + step), words)
    with torch.no_grad():
        yes, no = (duel.critic(grain(4, amplitude, 5000), words) for amplitude in (0.25, 0.05))
    assert (yes > no).float().mean() > 0.95  # of patches it has not seen
    assert duel.told > 0.5


class Grainy(nn.Module):
    """Makes grain of its own, as strong as its one weight says."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Parameter(torch.tensor(0.1))

    def forward(self, seed: int) -> Tensor:
        return self.last * grain(4, 1.0, seed)


def test_grain_that_cannot_be_foretold_is_kept_with_it_and_lost_without() -> None:
    """Renders have grain of .25.  The squared error is least at none; the critic asks for what renders have."""
    strength = {}
    for heard in (False, True):
        torch.manual_seed(0)
        model, duel, words = Grainy(), made_duel(weight=3.0), torch.zeros(4, WORDS)
        optimiser = torch.optim.Adam([model.last], lr=5e-3)
        for step in range(150):
            real, made = grain(4, 0.25, step), model(9000 + step)
            loss = wrong = (made - real).square().mean()
            if heard:
                duel.teach(real, made, words)
                loss = wrong + duel.loss(made, words, wrong, model.last)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        strength[heard] = abs(float(model.last.detach()))
    assert strength[False] < 0.03
    assert 0.12 < strength[True] < 0.5  # within a factor of two: the two go round one another


def test_its_pull_is_the_weight_times_the_errors() -> None:
    model, duel, words = Grainy(), made_duel(weight=0.7), torch.zeros(4, WORDS)
    for step in range(5):
        duel.teach(grain(4, 0.25, step), model(step), words)
    made = model(77)
    wrong = (made - grain(4, 0.25, 78)).square().mean()
    word = duel.loss(made, words, wrong, model.last)
    pulls = [abs(float(torch.autograd.grad(v, model.last, retain_graph=True)[0])) for v in (wrong, word)]
    assert pulls[1] == pytest.approx(0.7 * pulls[0], rel=1e-3)  # 1e-8 keeps it from dividing by nothing
    assert all(parameter.grad is None or not parameter.requires_grad for parameter in duel.critic.parameters())


def test_rain_and_snow_before_the_lens_are_not_judged(store: ClipStore) -> None:
    plan = DetailPlan(replace(RECIPE, judged_from=0.0), store)
    assert plan.duel is not None
    batch = make_detail_batch(store, plan.encoder, plan.recipe, np.random.default_rng(1))
    model = plan.make_model()
    for dry, taught in ((False, False), (True, True)):
        before = [parameter.clone() for parameter in plan.duel.critic.parameters()]
        told = replace(batch, dry=torch.full_like(batch.dry, dry))
        loss, _ = plan.loss(model, told, torch.Generator().manual_seed(0))
        assert torch.isfinite(loss)
        after = plan.duel.critic.parameters()
        assert any((a != b).any() for a, b in zip(before, after, strict=True)) is taught


def test_wet_clips_are_told_from_dry_ones(store: ClipStore) -> None:
    encoder = DetailPlan(RECIPE, store).encoder
    rng = np.random.default_rng(2)
    weathers = {row["attributes"]["weather"] for row in store.rows}
    dry = torch.cat([make_detail_batch(store, encoder, RECIPE, rng).dry for _ in range(8)])
    share = sum(row["attributes"]["weather"] not in ("rain", "snowfall") for row in store.rows) / len(store.rows)
    assert weathers & {"rain", "snowfall"}
    assert 0 < dry.float().mean() < 1
    assert abs(float(dry.float().mean()) - share) < 0.4  # 16 frames drawn: three deviations


def test_a_run_goes_on_with_the_critic_it_had(store: ClipStore, tmp_path: Path) -> None:
    def run(minutes: float) -> DetailPlan:
        plan = DetailPlan(RECIPE, store)
        seconds = (0.1 * i for i in range(10_000)).__next__
        Run(tmp_path, plan, "cpu", now=seconds).train(minutes)
        return plan

    first = run(0.02)
    again = run(0.02)  # the time is spent: nothing is trained, all is read
    assert first.duel is not None
    assert again.duel is not None
    for a, b in zip(first.duel.critic.parameters(), again.duel.critic.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert again.duel.told == first.duel.told
    fresh = DetailPlan(RECIPE, store)
    assert fresh.duel is not None
    pairs = zip(first.duel.critic.parameters(), fresh.duel.critic.parameters(), strict=True)
    assert any((a != b).any() for a, b in pairs)


def test_of_two_processes_one_may_have_nothing_to_judge(
    in_two_processes: Callable[[str], None], tmp_path: Path
) -> None:
    """Each has only rain before the lens in two steps of three, and both in the third; their critics stay the same, and
    learn.  Up to version 9 the two waited for different numbers and the run aborted."""
    in_two_processes(
        "import torch\nfrom pathlib import Path\nfrom test_adversary import WORDS, grain, made_duel\n"
        "from farplane.backend.train.loop import Processes\n"
        "rank = Processes.join('cpu').rank\nduel = made_duel()\n"
        "for step in range(6):\n"
        "    count = 3 if step % 3 == rank else 0\n"
        "    real, made = (grain(4, size, 10 * step + rank)[:count] for size in (0.25, 0.05))\n"
        "    duel.teach(real, made, torch.zeros(count, WORDS))\n"
        "torch.save(duel.critic.state_dict(), Path(sys.argv[1]) / f'{rank}.pt')\n"
    )
    a, b = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    fresh = made_duel().critic.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in fresh)
    assert any((a[name] != fresh[name]).any() for name in fresh)
