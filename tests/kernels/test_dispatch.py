"""Which implementation runs where, and that machines without Triton lose nothing but speed."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from farplane.kernels import modulated_layer_norm, qk_norm_rope, reproject

X, ONE, WEIGHT = torch.randn(1, 3, 16), torch.zeros(1, 1, 16), torch.ones(16)
EYE3, EYE4 = torch.eye(3)[None], torch.eye(4)[None]


def calls(implementation: str) -> list:
    return [
        lambda: modulated_layer_norm(X, ONE, ONE, implementation=implementation),
        lambda: qk_norm_rope(X, WEIGHT, None, None, 1e-6, 2, implementation=implementation),
        lambda: reproject(
            torch.ones(1, 4, 4), X.view(1, 3, 4, 4), EYE3, EYE4, EYE3, EYE4, implementation=implementation
        ),
    ]


@pytest.mark.parametrize("i", range(3))
def test_on_a_cpu_the_definition_runs(i):
    auto, reference = calls("auto")[i](), calls("reference")[i]()
    for a, b in zip(auto if isinstance(auto, tuple) else [auto], reference if isinstance(auto, tuple) else [reference]):
        assert torch.equal(a, b)


@pytest.mark.parametrize("i", range(3))
def test_what_cannot_run_is_refused_by_name(i, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match=r"CUDA|not installed"):
        calls("triton")[i]()
    with pytest.raises(ValueError, match="implementation must be"):
        calls("cuda")[i]()


def test_without_triton_everything_works():
    """Triton blocked from import, as on macOS: the ops run, and neither import nor call asks for it."""
    code = """
import sys
sys.modules["triton"] = None
import torch
from farplane.kernels import modulated_layer_norm, qk_norm_rope, rope3d_tables
x, one = torch.randn(1, 3, 12), torch.zeros(1, 1, 12)
modulated_layer_norm(x, one, one)
qk_norm_rope(x, torch.ones(12), *rope3d_tables(1, 3, 1, 6), 1e-6, 2)
try:
    modulated_layer_norm(x, one, one, implementation="triton")
except ValueError as refusal:
    print(refusal)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "Triton is not installed" in done.stdout


def test_triton_is_not_imported_before_it_is_needed():
    code = "import sys, farplane.kernels; print('triton' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
