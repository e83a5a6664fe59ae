"""The Triton kernels of kernels/reproject.py against the definition: bit for bit, since both count in float64."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.transform import Rotation

from farplane.kernels import reproject


def cameras(count: int, H: int, W: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random K [B, 3, 3] and world_from_camera [B, 4, 4], turned by some 10 degrees and moved by some 0.3 m."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, 8, generator=generator, dtype=torch.float64)
    K = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    K[:, 0, 0], K[:, 1, 1] = W * torch.exp(0.2 * normal[:, 0]), W * torch.exp(0.2 * normal[:, 0])
    K[:, 0, 2], K[:, 1, 2] = W / 2 + normal[:, 1], H / 2 + normal[:, 2]
    pose = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    pose[:, :3, :3] = torch.from_numpy(Rotation.from_rotvec(0.15 * normal[:, 2:5].numpy()).as_matrix())
    pose[:, :3, 3] = 0.3 * normal[:, 5:]
    return K, pose


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("B", "C", "H", "W", "size"),
    [(2, 3, 17, 23, None), (1, 1, 30, 41, (13, 57)), (2, 0, 9, 9, None), (1, 2, 4, 5, (3, 3))],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy on the left-out depths: 1/0, and NaN compared
def test_same_pictures_and_gradients(B, C, H, W, size, dtype):
    generator = torch.Generator().manual_seed(H)
    depth = 1 + 4 * torch.rand(B, H, W, generator=generator)
    depth[:, : H // 4] = torch.inf
    if H > 4:
        depth[:, 4, :5] = torch.tensor([torch.nan, 0, -1, -torch.inf, 1e-38])
    color = torch.randn(B, C, H, W, generator=generator).to(dtype).requires_grad_()
    views = (*cameras(B, H, W, 1), *cameras(B, H, W, 2))
    seen, expected = (reproject(depth, color, *views, size, implementation=name) for name in ("triton", "reference"))
    assert seen.color.dtype == dtype
    assert expected.mask.any()
    assert not expected.mask.all()
    for name in ("color", "depth", "mask"):
        assert torch.equal(getattr(seen, name), getattr(expected, name)), name
    if C:
        upstream = torch.randn(seen.color.shape, generator=generator).to(dtype)
        got, true = (torch.autograd.grad(r.color, color, upstream)[0] for r in (seen, expected))
        assert torch.equal(got, true)
