"""Schedules, solvers and the loop, against flows whose end is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from farplane.backend.model.config import Prediction
from farplane.backend.model.sampling import (
    EulerSolver,
    UniPCSolver,
    add_noise,
    denoise,
    flow_from_x0,
    flow_sigmas,
    guided,
    x0_from_flow,
)

MEAN, SPREAD = 1.5, 0.5


def gaussian_x0(latents: Tensor, timestep: Tensor) -> Tensor:
    """The best guess of x0 when x0 is Gaussian: the posterior mean at sigma = timestep / 1000."""
    s = float(timestep[0]) / 1000
    variance = (1 - s) ** 2 * SPREAD**2 + s**2
    return MEAN + (1 - s) * SPREAD**2 / variance * (latents - (1 - s) * MEAN)


def gaussian_flow(latents: Tensor, timestep: Tensor) -> Tensor:
    s = float(timestep[0]) / 1000
    variance = (1 - s) ** 2 * SPREAD**2 + s**2
    noise = s / variance * (latents - (1 - s) * MEAN)
    return noise - gaussian_x0(latents, timestep)


def noise(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 2, 4, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("prediction", ["flow", "x0"])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_reaches_the_distribution(prediction: Prediction, shift: float) -> None:
    """The exact flow carries N(0, 1) to N(MEAN, SPREAD): every value to MEAN + SPREAD * value."""
    model = gaussian_flow if prediction == "flow" else gaussian_x0
    start = noise()
    errors = []
    for steps in (50, 100, 200):
        got = denoise(model, start, EulerSolver(steps, shift), prediction)
        errors.append(float((got - (MEAN + SPREAD * start)).abs().mean()))
    # Euler is of first order: twice the steps, half the error.
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.2)
    assert errors[2] < 0.02


def test_unipc_needs_fewer_steps(diffusers: Any) -> None:
    start = noise()
    want = MEAN + SPREAD * start
    euler = float((denoise(gaussian_flow, start, EulerSolver(20, 3.0), "flow") - want).abs().mean())
    unipc = float((denoise(gaussian_flow, start, UniPCSolver(20, 3.0), "flow") - want).abs().mean())
    assert unipc < euler / 3


@pytest.mark.parametrize("make", [EulerSolver, UniPCSolver])
def test_both_predictions_walk_the_same_way(diffusers: Any, make: Any) -> None:
    a = denoise(gaussian_flow, noise(), make(7, 2.0), "flow")
    b = denoise(gaussian_x0, noise(), make(7, 2.0), "x0")
    # UniPC rounds its timesteps to whole numbers, which the two forms of the test's model feel differently.
    assert torch.allclose(a, b, atol=1e-5 if make is EulerSolver else 5e-3)


def test_schedule() -> None:
    even = flow_sigmas(4, 1.0)
    assert even.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    shifted = flow_sigmas(4, 3.0)
    assert shifted.tolist() == pytest.approx([1.0, 0.9, 0.75, 0.5, 0.0])
    assert EulerSolver(4, 3.0).timesteps.tolist() == pytest.approx([1000, 900, 750, 500])


@pytest.mark.parametrize(("steps", "shift"), [(0, 1.0), (-3, 1.0), (4, 0.0)])
def test_no_schedule(steps: int, shift: float) -> None:
    with pytest.raises(ValueError, match="no schedule"):
        flow_sigmas(steps, shift)


def test_unipc_schedule_is_diffusers_own(diffusers: Any) -> None:
    config = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 5.0}
    theirs = diffusers.UniPCMultistepScheduler(**config)
    theirs.set_timesteps(6)
    for ours in (UniPCSolver(6, 5.0), UniPCSolver(6, 1.0, dict(theirs.config))):
        assert torch.equal(ours.sigmas, theirs.sigmas)
        assert torch.equal(ours.timesteps, theirs.timesteps)
    assert not torch.equal(UniPCSolver(6, 1.0).sigmas, theirs.sigmas)


def test_flow_and_x0_are_one_thing() -> None:
    x0, n = noise(1), noise(2)
    sigma = torch.tensor([0.3, 1.0])
    noisy = add_noise(x0, n, sigma)
    s = sigma.view(2, 1, 1, 1, 1)
    assert torch.allclose(noisy[1], n[1])
    assert torch.allclose(flow_from_x0(x0, noisy, s), n - x0, atol=1e-5)
    assert torch.allclose(x0_from_flow(n - x0, noisy, s), x0, atol=1e-5)


def test_guidance() -> None:
    calls: list[str] = []

    def with_text(x: Tensor, t: Tensor) -> Tensor:
        calls.append("text")
        return x + 2

    def without(x: Tensor, t: Tensor) -> Tensor:
        calls.append("none")
        return x - 1

    x, t = torch.zeros(1), torch.zeros(1)
    assert float(guided(with_text, without, 4.0)(x, t)) == -1 + 4 * 3
    assert calls == ["text", "none"]
    assert float(guided(with_text, without, 1.0)(x, t)) == 2
    assert calls == ["text", "none", "text"]


def test_steps_are_told_and_may_stop() -> None:
    seen: list[int] = []

    def listen(step: int, x0: Tensor) -> None:
        seen.append(step)
        assert torch.allclose(x0, torch.full_like(x0, MEAN), atol=1e-5) == (step == 1)  # at pure noise: the mean
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise(gaussian_x0, noise(), EulerSolver(10), "x0", listen)
    assert seen == [1, 2, 3]


def test_bfloat16_models_keep_float32_latents() -> None:
    model = lambda x, t: gaussian_flow(x, t).bfloat16()  # noqa: E731
    got = denoise(model, noise(), EulerSolver(100), "flow")
    assert got.dtype == torch.float32
    assert float((got - (MEAN + SPREAD * noise())).abs().mean()) < 0.05
