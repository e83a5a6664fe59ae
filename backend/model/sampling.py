"""From noise to latents: schedules, solvers and the denoise loop.  Tensors in, tensors out.

Flow matching: at noise level sigma in [0, 1] the noisy latents are (1 - sigma) * x0 + sigma * noise, and the flow is
noise - x0.  A model's timestep is 1000 * sigma.  Latents are [B, C, T, H, W].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from .config import Prediction
from .text import missing_package

TIMESTEPS = 1000

Model = Callable[[Tensor, Tensor], Tensor]
"""(latents [B, C, T, H, W], timestep [B]) -> the model's output, of the latents' shape."""

OnStep = Callable[[int, Tensor], None]
"""(steps done, the x0 estimate [B, C, T, H, W]); raises to stop the loop."""


def add_noise(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Noisy latents at sigma [B] (or any shape that broadcasts against the latents once dimensions are appended)."""
    sigma = sigma.reshape(sigma.shape + (1,) * (x0.ndim - sigma.ndim))
    return (1 - sigma) * x0 + sigma * noise


def flow_from_x0(x0: Tensor, latents: Tensor, sigma: Tensor | float) -> Tensor:
    """The flow that leads from `latents` at sigma > 0 to x0."""
    return (latents - x0) / sigma


def x0_from_flow(flow: Tensor, latents: Tensor, sigma: Tensor | float) -> Tensor:
    """Where the flow leads from `latents` at sigma."""
    return latents - sigma * flow


def flow_sigmas(steps: int, shift: float, restart: float | None = None) -> Tensor:
    """Noise levels 1 … 0, [steps + 1] float32; a shift above 1 spends more steps near the noise (SD3, eq. 23).

    restart : where the first step ends, if the steps between are to be skipped; the others follow from there.
    """
    if steps < 1 or shift <= 0:
        raise ValueError(f"{steps} steps with shift {shift} are no schedule")
    if restart is not None and steps > 1:
        return torch.cat((torch.ones(1), restart * flow_sigmas(steps - 1, shift)))
    even = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return (shift * even / (1 + (shift - 1) * even)).float()


class Solver(Protocol):
    """Steps along a schedule.  sigmas : [S + 1], the last one 0.  timesteps : [S]."""

    sigmas: Tensor
    timesteps: Tensor

    def step(self, flow: Tensor, index: int, latents: Tensor) -> Tensor:
        """Latents at sigmas[index] to latents at sigmas[index + 1].  Called once for each index, in order."""
        ...


class EulerSolver:
    """One straight line a step."""

    def __init__(self, steps: int, shift: float = 1.0, restart: float | None = None) -> None:
        self.sigmas = flow_sigmas(steps, shift, restart)
        self.timesteps = self.sigmas[:-1] * TIMESTEPS

    def step(self, flow: Tensor, index: int, latents: Tensor) -> Tensor:
        return latents + (self.sigmas[index + 1] - self.sigmas[index]).to(latents.device) * flow


class UniPCSolver:
    """UniPC, second order, through diffusers: Wan's own sampler.

    config : diffusers' scheduler_config.json; None: flow prediction with `shift`.
    """

    def __init__(self, steps: int, shift: float = 3.0, config: dict[str, Any] | None = None) -> None:
        try:
            from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
        except ImportError as error:
            raise missing_package("diffusers") from error
        flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": shift}
        self.scheduler: Any = UniPCMultistepScheduler.from_config(flow if config is None else config)
        self.scheduler.set_timesteps(steps)
        self.sigmas = self.scheduler.sigmas
        self.timesteps = self.scheduler.timesteps

    def step(self, flow: Tensor, index: int, latents: Tensor) -> Tensor:
        return self.scheduler.step(flow, self.timesteps[index], latents, return_dict=False)[0]


def guided(with_text: Model, without_text: Model, guidance: float) -> Model:
    """Classifier-free guidance: without + guidance * (with - without).  At 1 or below, the text's model alone."""
    if guidance <= 1:
        return with_text

    def model(latents: Tensor, timestep: Tensor) -> Tensor:
        text = with_text(latents, timestep)
        plain = without_text(latents, timestep)
        return plain + guidance * (text - plain)

    return model


@torch.no_grad()
def denoise(
    model: Model, noise: Tensor, solver: Solver, prediction: Prediction, on_step: OnStep | None = None
) -> Tensor:
    """Walk from noise to x0, [B, C, T, H, W] float32.

    on_step is called after each step; whatever it raises ends the loop, so a cancel takes one step at most.
    """
    latents = noise.float()
    for index, timestep in enumerate(solver.timesteps):
        sigma = solver.sigmas[index].to(latents.device)
        output = model(latents, timestep.to(latents.device).expand(latents.shape[0])).float()
        if prediction == "x0":
            x0, flow = output, flow_from_x0(output, latents, sigma)
        else:
            x0, flow = x0_from_flow(output, latents, sigma), output
        latents = solver.step(flow, index, latents)
        if on_step is not None:
            on_step(index + 1, x0)
    return latents
