"""PlateDiT against diffusers' transformers, and what it has beyond them.

B clips, T latent frames, H and W latent rows and columns, L text tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from farplane.backend.model.dit import PlateDiT, PlateDiTConfig
from farplane.backend.model.layers import attend

Randomise = Callable[[torch.nn.Module, int], None]

# float32 keeps 7 digits; sums of some hundred terms in another order lose one or two of them.
PARITY = 1e-5

TINY: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "text_dim": 10,
    "freq_dim": 32,
    "ffn_dim": 30,
    "num_layers": 3,
    "vace_layers": [0, 2],
    "rope_max_seq_len": 64,
}


def random_config(seed: int) -> tuple[dict[str, Any], tuple[int, int, int], int]:
    """A small configuration, a latent size and a number of references, all drawn from the seed."""
    rng = np.random.default_rng(seed)
    layers = int(rng.integers(1, 6))
    others = [i for i in range(1, layers) if rng.random() < 0.5]
    patch = [(1, 2, 2), (1, 1, 1), (2, 2, 2), (1, 4, 2)][seed % 4]
    channels = int(rng.choice([4, 16, 12]))
    config = {
        "patch_size": patch,
        "num_attention_heads": int(rng.integers(1, 5)),
        "attention_head_dim": int(rng.choice([6, 8, 16, 22, 32, 128])),
        "in_channels": channels,
        "out_channels": int(rng.choice([channels, 5])),
        "text_dim": int(rng.integers(3, 40)),
        "freq_dim": int(rng.choice([32, 256])),
        "ffn_dim": int(rng.integers(5, 90)),
        "num_layers": layers,
        "cross_attn_norm": bool(rng.random() < 0.7),
        "eps": float(rng.choice([1e-6, 1e-5])),
        "vace_layers": [0, *others],
        "vace_in_channels": int(rng.choice([96, 7])),
        "rope_max_seq_len": 32,
    }
    references = int(rng.integers(0, 3))
    frames = int(rng.choice([1, 3, 5])) + references
    frames += frames % patch[0]
    size = (frames, patch[1] * int(rng.integers(1, 5)), patch[2] * int(rng.integers(1, 5)))
    return config, size, references


def random_inputs(config: dict[str, Any], size: tuple[int, int, int], batch: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "hidden_states": draw(batch, config.get("in_channels", 16), *size),
        "timestep": torch.rand(batch, generator=generator) * 1000,
        "encoder_hidden_states": draw(batch, 1 + seed % 7, config["text_dim"]),
        "control_hidden_states": draw(batch, config.get("vace_in_channels", 96), *size),
    }


def relative(got: Tensor, want: Tensor) -> float:
    return float((got - want).detach().norm() / want.detach().norm())


def tiny(**extra: Any) -> PlateDiT:
    return PlateDiT(PlateDiTConfig.from_dict({**TINY, **extra})).eval()


@pytest.mark.parametrize("seed", range(16))
@torch.no_grad()
def test_equals_diffusers_vace(diffusers: Any, randomise: Randomise, seed: int) -> None:
    config, size, references = random_config(seed)
    theirs = diffusers.WanVACETransformer3DModel(**config).eval()
    randomise(theirs, seed)
    ours = PlateDiT(PlateDiTConfig(**config, camera_channels=24)).eval()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith("cam.") for name in missing)
    inputs = random_inputs(config, size, 1 + seed % 2, seed)
    inputs["control_hidden_states"][:, :, :references] = 0
    scale = torch.linspace(0.3, 1.2, len(config["vace_layers"])) if seed % 3 else None
    want = theirs(**inputs, control_hidden_states_scale=scale, return_dict=False)[0]
    rays = torch.randn(inputs["hidden_states"].shape[0], 24, *size)
    got = ours(**inputs, control_hidden_states_scale=scale, camera=rays)  # `cam.*` is there, at its zero start
    assert got.shape == want.shape
    assert relative(got, want) < PARITY
    # The comparison can fail: another timestep is far away.
    inputs["timestep"] = 1000 - inputs["timestep"]
    assert relative(ours(**inputs, control_hidden_states_scale=scale), want) > 100 * PARITY


def test_state_dict_is_diffusers_own(diffusers: Any) -> None:
    theirs = diffusers.WanVACETransformer3DModel(**TINY)
    ours = tiny()
    want = {name: value.shape for name, value in theirs.state_dict().items()}
    assert {name: value.shape for name, value in ours.state_dict().items()} == want
    known = set(PlateDiTConfig().to_dict())
    assert {key for key in theirs.config if not key.startswith("_")} <= known


def test_gradients_equal_diffusers(diffusers: Any, randomise: Randomise) -> None:
    theirs = diffusers.WanVACETransformer3DModel(**TINY)
    randomise(theirs, 3)
    ours = tiny()
    ours.load_state_dict(theirs.state_dict())
    inputs = random_inputs(TINY, (3, 4, 6), 2, 3)
    theirs(**inputs, return_dict=False)[0].square().mean().backward()
    ours(**inputs).square().mean().backward()
    mine = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        got, want = mine[name].grad, parameter.grad
        assert got is not None
        assert want is not None
        # to_k's bias shifts every score alike, so its true gradient is zero up to the key norm: compare absolutely.
        assert float((got - want).abs().max()) < 1e-5 * max(1.0, float(want.abs().max())), name


@torch.no_grad()
def test_control_may_be_shorter(diffusers: Any, randomise: Randomise) -> None:
    theirs = diffusers.WanVACETransformer3DModel(**TINY).eval()
    randomise(theirs, 4)
    ours = tiny()
    ours.load_state_dict(theirs.state_dict())
    inputs = random_inputs(TINY, (4, 4, 4), 1, 4)
    inputs["control_hidden_states"] = inputs["control_hidden_states"][:, :, :3]
    assert relative(ours(**inputs), theirs(**inputs, return_dict=False)[0]) < PARITY


@torch.no_grad()
def test_per_token_timesteps_equal_diffusers_wan22(diffusers: Any, randomise: Randomise) -> None:
    """Only the plain WanTransformer3DModel has them; with hints of strength 0 PlateDiT is that model."""
    plain = {key: value for key, value in TINY.items() if key != "vace_layers"}
    theirs = diffusers.WanTransformer3DModel(**plain).eval()
    randomise(theirs, 5)
    ours = tiny()
    ours.load_state_dict(theirs.state_dict(), strict=False)
    inputs = random_inputs(TINY, (3, 4, 6), 2, 5)
    inputs["timestep"] = torch.rand(2, 3 * 2 * 3, generator=torch.Generator().manual_seed(5)) * 1000
    got = ours(**inputs, control_hidden_states_scale=torch.zeros(2))
    inputs.pop("control_hidden_states")
    assert relative(got, theirs(**inputs, return_dict=False)[0]) < PARITY


@torch.no_grad()
def test_constant_per_token_timesteps_equal_one(randomise: Randomise) -> None:
    model = tiny(pixel_head_channels=8, pixel_head_levels=2, in_channels=12, out_channels=12)
    randomise(model, 6)
    inputs = random_inputs({**TINY, "in_channels": 12}, (3, 4, 6), 2, 6)
    want = model(**inputs)
    inputs["timestep"] = inputs["timestep"][:, None].expand(2, 18)
    assert relative(model(**inputs), want) < PARITY
    inputs["timestep"] = inputs["timestep"].clone()
    inputs["timestep"][:, :6] = 0  # one latent frame known
    assert relative(model(**inputs), want) > 1e-3


@torch.no_grad()
def test_camera_branch(randomise: Randomise) -> None:
    with_cam, without = tiny(camera_channels=24), tiny()
    randomise(without, 7)
    with_cam.load_state_dict(without.state_dict(), strict=False)
    inputs, rays = random_inputs(TINY, (2, 4, 4), 1, 7), torch.randn(1, 24, 2, 4, 4)
    assert torch.equal(with_cam(**inputs, camera=rays), without(**inputs))
    assert with_cam.cam is not None
    torch.nn.init.normal_(with_cam.cam.proj.weight)
    assert relative(with_cam(**inputs, camera=rays), without(**inputs)) > 1e-2
    assert torch.equal(with_cam(**inputs), without(**inputs))


def test_a_zero_camera_branch_learns() -> None:
    model = tiny(camera_channels=6)
    inputs, rays = random_inputs(TINY, (1, 4, 4), 1, 8), torch.randn(1, 6, 1, 4, 4)
    model(**inputs, camera=rays).square().mean().backward()
    assert model.cam is not None
    assert model.cam.proj.weight.grad is not None
    assert float(model.cam.proj.weight.grad.abs().max()) > 0


@torch.no_grad()
def test_masked_words_are_not_read(randomise: Randomise) -> None:
    model = tiny()
    randomise(model, 9)
    inputs = random_inputs(TINY, (1, 4, 4), 2, 9)
    words = torch.randn(2, 5, TINY["text_dim"])
    padded = torch.cat((words, torch.full((2, 3, TINY["text_dim"]), 50.0)), dim=1)
    mask = torch.arange(8).expand(2, 8) < 5
    want = model(**{**inputs, "encoder_hidden_states": words})
    got = model(**{**inputs, "encoder_hidden_states": padded}, encoder_mask=mask)
    assert relative(got, want) < PARITY
    assert relative(model(**{**inputs, "encoder_hidden_states": padded}), want) > 1e-3


@pytest.mark.parametrize("masked", [False, True])
def test_written_out_attention_equals_sdpa(masked: bool) -> None:
    """bfloat16 on a CPU takes another road: forward and gradients against float32 SDPA."""
    generator = torch.Generator().manual_seed(10)
    exact = [torch.randn(2, 3, n, 16, generator=generator).requires_grad_() for n in (37, 21, 21)]
    mask = (torch.rand(2, 1, 1, 21, generator=generator) < 0.6) if masked else None
    short = [x.detach().bfloat16().requires_grad_() for x in exact]
    weight = torch.randn(2, 3, 37, 16, generator=generator)
    want = F.scaled_dot_product_attention(*exact, attn_mask=mask)
    got = attend(short[0], short[1], short[2], mask)
    assert got.dtype == torch.bfloat16
    (want * weight).sum().backward()
    (got.float() * weight).sum().backward()
    # bfloat16 keeps 8 bits: each rounding errs by up to 1/512, and a gradient passes five or six of them.
    assert relative(got.float(), want) < 1e-2
    for a, b in zip(short, exact):
        assert a.grad is not None
        assert b.grad is not None
        assert relative(a.grad.float(), b.grad) < 2e-2


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_bfloat16_stays_near(how: str) -> None:
    model = tiny(camera_channels=6, pixel_head_channels=8, pixel_head_levels=2, in_channels=12, out_channels=12)
    inputs = random_inputs({**TINY, "in_channels": 12}, (2, 4, 6), 2, 11)
    inputs["camera"] = torch.randn(2, 6, 2, 4, 6)
    want = model(**inputs).detach()
    if how == "weights":
        model.bfloat16()
        inputs = {k: v if k == "timestep" else v.bfloat16() for k, v in inputs.items()}
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        got = model(**inputs)
    assert relative(got.float(), want) < 3e-2  # some twenty roundings of 1/512 in a row
    got.float().square().mean().backward()
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all() for n, p in model.named_parameters() if "cam.patch" not in n
    )


def test_gradient_checkpointing_changes_nothing(randomise: Randomise) -> None:
    model = tiny()
    randomise(model, 12)
    inputs = random_inputs(TINY, (2, 4, 4), 1, 12)
    gradients = []
    for checkpointing in (False, True):
        model.gradient_checkpointing = checkpointing
        model.zero_grad()
        model(**inputs).square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("levels", [2, 3])
def test_a_head_of_several_levels_hears_tokens_at_its_coarsest(levels: int, randomise: Randomise) -> None:
    pixels = {"patch_size": [1, 8, 8], "in_channels": 12, "out_channels": 12, "vace_in_channels": 9}
    model = tiny(**pixels, pixel_head_channels=8, pixel_head_levels=levels, pixel_head_blocks=1)
    assert not [key for key in model.state_dict() if key.startswith("proj_out")]
    randomise(model, 21)
    head = model.head
    assert head is not None
    tokens, frames, control = torch.zeros(1, 2 * 2 * 3, 24), torch.zeros(1, 12, 2, 16, 24), torch.zeros(1, 9, 2, 16, 24)
    time = torch.zeros(1, 1, 24)
    blank = head(tokens, time, frames, control)
    tokens[0, 6 + 3 + 2] = 1.0  # second frame, second row, third column
    moved = (head(tokens, time, frames, control) - blank).abs().sum(1)[0]
    assert moved[0].max() == 0  # frames do not touch in the head
    assert moved[1].argmax() // 24 >= 6  # most where the token lies, or just beside it
    assert moved[1].argmax() % 24 >= 14
    first = model(**random_inputs({**TINY, **pixels}, (3, 16, 24), 2, 13))
    assert first.shape == (2, 12, 3, 16, 24)


def test_configuration_round_trip() -> None:
    config = PlateDiTConfig(
        vace_layers=(0, 3), camera_channels=24, prediction="x0", pixel_head_channels=32, pixel_head_levels=2
    )
    text = json.dumps({**config.to_dict(), "_class_name": "x", "_diffusers_version": "0"})
    assert PlateDiTConfig.from_dict(json.loads(text)) == config


@pytest.mark.parametrize(
    "wrong",
    [
        {"vace_layers": [1]},
        {"vace_layers": [0, 3]},
        {"attention_head_dim": 7},
        {"image_dim": 1280},
        {"prediction": "noise"},
        {"pixel_head_channels": 8, "pixel_head_levels": 2, "patch_size": [2, 2, 2]},
        {"pixel_head_levels": 1},
        {"patch_size": [1, 4, 4], "pixel_head_channels": 8, "pixel_head_levels": 4},
        {"window_size": [-1, -1]},
    ],
)
def test_bad_configurations_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        PlateDiTConfig.from_dict({**TINY, **wrong})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("hidden_states", (1, 16, 2, 5, 4)),
        ("control_hidden_states", (1, 96, 2, 4, 6)),
        ("control_hidden_states", (1, 96, 3, 4, 4)),
        ("camera", (1, 6, 1, 4, 4)),
        ("control_hidden_states_scale", (3,)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name: str, shape: tuple[int, ...]) -> None:
    inputs = random_inputs(TINY, (2, 4, 4), 1, 14)
    inputs[name] = torch.zeros(shape)
    with pytest.raises(ValueError, match=r"fit|multiple|scales"):
        tiny(camera_channels=6)(**inputs)


def test_a_volume_past_the_rotary_table_is_refused() -> None:
    inputs = random_inputs(TINY, (1, 2, 130), 1, 15)
    with pytest.raises(ValueError, match="rotary"):
        tiny()(**inputs)
