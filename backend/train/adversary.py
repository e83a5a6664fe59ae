"""A critic for the detail stage: it learns to tell made detail from rendered detail, and the stage learns from it.

The squared error alone is least for the mean of all pictures that a small one may stand for: a wall whose windows may
be anywhere gets none, ground gets no grain.  The critic asks for one of these pictures instead; the squared error, of
larger squares for the most part, holds it to its shot.

Legend: M crops, H rows, W columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..model.words import respelt

EXPORTED = "critic.safetensors"  # beside an exported checkpoint's weights; nothing but training reads it
SLOPE = 0.2
SPREAD = 0.25  # deviation of a render's residual


class Critic(nn.Module):
    """Scores of patches about 40 pixels wide.  The words enter by projection (Miyato and Koyama, 2018).

    It sees the residual alone: given the surface as well it looked at that, and learned a fifth as fast
    (docs/decisions/asking-for-one-picture.md).
    """

    def __init__(self, words: int, channels: int = 48) -> None:
        super().__init__()
        widths = (channels, 2 * channels, 3 * channels)
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(12, widths[0], 3, padding=1),
                nn.Conv2d(widths[0], widths[1], 4, stride=2, padding=1),
                nn.Conv2d(widths[1], widths[2], 4, stride=2, padding=1),
                nn.Conv2d(widths[2], widths[2], 3, padding=1),
            ]
        )
        self.score = nn.Conv2d(widths[2], 1, 1)
        self.words = nn.Linear(words, widths[2], bias=False)
        nn.init.normal_(self.words.weight, std=0.02)

    def forward(self, residual: Tensor, words: Tensor) -> Tensor:
        """Scores [M, 1, H / 8, W / 8], higher for what looks rendered.

        residual [M, 3, H, W] in units of model.detail.RESIDUAL; words [M, V].
        """
        x = F.pixel_unshuffle(residual / SPREAD, 2)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        asked = self.words(words)[:, :, None, None]
        return self.score(x) + (x * asked).mean(1, keepdim=True)


class Duel:
    """A critic in training beside the network it judges.

    weight : of the critic's word against the squared error, at the network's last layer (Esser and others, 2021).
    """

    def __init__(self, critic: Critic, weight: float, learning_rate: float) -> None:
        self.critic, self.weight = critic, weight
        self.optimiser = torch.optim.Adam(critic.parameters(), lr=learning_rate, betas=(0.5, 0.98))
        self.told = 0.0  # how well the critic tells them apart: the mean margin, 0 for not at all

    def to(self, device: str) -> None:
        """Move the critic."""
        self.critic.to(device)

    def teach(self, real: Tensor, made: Tensor, words: Tensor) -> None:
        """One step of the critic on rendered and made residuals [M, 3, H, W] (hinge loss).  M may be 0: of several
        processes each takes part in every step, also one whose batch has nothing to judge."""
        self.critic.requires_grad_(True)
        self.optimiser.zero_grad(set_to_none=True)
        if len(real):
            with torch.autocast(real.device.type, torch.bfloat16):
                scores = self.critic(torch.cat((real, made.detach())), torch.cat((words, words))).float()
            yes, no = scores.chunk(2)
            (F.relu(1 - yes).mean() + F.relu(1 + no).mean()).backward()
            self.told = 0.98 * self.told + 0.02 * float((yes.mean() - no.mean()).detach())
        if dist.is_initialized():
            for parameter in self.critic.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)
                parameter.grad /= dist.get_world_size()
        self.optimiser.step()

    def loss(self, made: Tensor, words: Tensor, error: Tensor, last: Tensor) -> Tensor:
        """The critic's word on made residuals, scaled to `weight` times the pull that `error` has on `last`, the
        network's last weights."""
        self.critic.requires_grad_(False)
        with torch.autocast(made.device.type, torch.bfloat16):
            word = -self.critic(made, words).float().mean()
        pulls = [torch.autograd.grad(value, last, retain_graph=True)[0].norm() for value in (error, word)]
        balance = (pulls[0] / (pulls[1] + 1e-8)).clamp(max=1e3).detach()
        return self.weight * balance * word

    def kept(self) -> dict[str, Any]:
        """All that a run needs to go on."""
        return {"critic": self.critic.state_dict(), "optimiser": self.optimiser.state_dict(), "told": self.told}

    def fits(self, kept: dict[str, Any] | None) -> bool:
        """Whether `kept` is of a critic of the same shape."""
        if kept is None:
            return False
        own = {name: value.shape for name, value in self.critic.state_dict().items()}
        return own == {name: value.shape for name, value in kept["critic"].items()}

    def resume(self, kept: dict[str, Any]) -> None:
        """Go on from `kept`; of an exported critic the optimiser's memory is gone, which it has again in fifty steps."""
        self.critic.load_state_dict(kept["critic"])
        if "optimiser" in kept:
            self.optimiser.load_state_dict(kept["optimiser"])
        self.told = kept["told"]


def export_critic(kept: dict[str, Any], folder: Path) -> None:
    """Write a run's critic (`Duel.kept`) as float16 into the folder of an exported checkpoint.

    Without it every training that begins from the checkpoint spends its first half hour on a critic that knows nothing.
    """
    tensors = {name: value.to("cpu", torch.float16).contiguous() for name, value in kept["critic"].items()}
    save_file(tensors | {"told": torch.tensor(kept["told"])}, folder / EXPORTED)


def exported_critic(folder: Path, known: list[str], wanted: list[str]) -> dict[str, Any] | None:
    """What `Duel.resume` takes, out of a checkpoint's folder, its words respelt from the vocabulary `known` to
    `wanted`; None where there is no critic."""
    if not (folder / EXPORTED).is_file():
        return None
    weights = {name: value.float() for name, value in load_file(folder / EXPORTED).items()}
    told = float(weights.pop("told"))
    weights["words.weight"] = respelt(weights["words.weight"].T, known, wanted).T.contiguous()
    return {"critic": weights, "told": told}
