"""The colour curves, against published values and their own inverses, in numpy and in torch."""

from __future__ import annotations

import numpy as np
import pytest

from farplane.backend.pipeline.colour import (
    LOGC3_CUT,
    LOGC3_MAX,
    display_encode,
    linear_to_display,
    logc3_decode,
    logc3_encode,
    luminance,
    srgb_decode,
    srgb_encode,
)

LINEAR = np.concatenate([[-0.02, 0.0, LOGC3_CUT, 0.18, 1.0, 55.0], np.geomspace(1e-4, 100, 500)])


def test_logc3_has_arris_published_values() -> None:
    """ARRI's own paper: at EI 800 mid grey 0.18 is code 400/1023 and black 95/1023 (both rounded there)."""
    assert logc3_encode(np.array(0.18)) * 1023 == pytest.approx(400, abs=0.5)
    assert logc3_encode(np.array(0.0)) * 1023 == pytest.approx(95, abs=0.5)
    assert logc3_encode(np.array(LOGC3_MAX)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logc3_round_trips_and_keeps_the_type(dtype: type) -> None:
    linear = LINEAR.astype(dtype)
    code = logc3_encode(linear)
    assert code.dtype == dtype
    back = logc3_decode(code)
    # A relative step of code is ln(10)/C = 9.3 times as large in linear: 20 ulps cover it and the two roundings.
    np.testing.assert_allclose(back, linear, rtol=40 * np.finfo(dtype).eps, atol=40 * np.finfo(dtype).eps)


def test_logc3_is_continuous_and_rises() -> None:
    around = LOGC3_CUT + np.array([-1e-9, 1e-9])
    # ARRI's seven-digit constants leave a step of about 1e-6 at the cut.
    assert abs(np.diff(logc3_encode(around))[0]) < 2e-6
    assert (np.diff(logc3_encode(np.linspace(-0.1, 60, 10001))) > 0).all()


def test_logc3_of_a_tensor_is_that_of_the_array_and_has_clean_gradients() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(LINEAR, dtype=torch.float64, requires_grad=True)
    code = logc3_encode(tensor)
    np.testing.assert_allclose(code.detach().numpy(), logc3_encode(LINEAR), rtol=1e-12)
    np.testing.assert_allclose(logc3_decode(code).detach().numpy(), LINEAR, rtol=1e-12, atol=1e-12)
    code.sum().backward()
    assert torch.isfinite(tensor.grad).all()
    assert (tensor.grad > 0).all()


def test_srgb_round_trips_and_has_the_standards_values() -> None:
    assert srgb_encode(np.array(0.5)) == pytest.approx(0.735357, abs=1e-5)
    assert srgb_decode(np.array(0.5)) == pytest.approx(0.214041, abs=1e-5)
    values = np.linspace(-0.2, 1.2, 301, dtype=np.float32)
    np.testing.assert_allclose(srgb_decode(srgb_encode(values)), values, atol=2e-6)


def test_the_display_curve_is_fixed_gentle_and_never_clips() -> None:
    # Below the shoulder it is plain sRGB.
    low = np.linspace(0, 0.5, 50, dtype=np.float32)
    np.testing.assert_allclose(display_encode(low), srgb_encode(low), atol=1e-6)
    high = display_encode(np.geomspace(0.01, 1000, 400))
    assert (np.diff(high) > 0).all()
    assert high.max() < 1.0
    assert linear_to_display(np.array([0.0, 0.18, 1.0, 4.0])).tolist() == [0, 118, 225, 248]
    assert linear_to_display(np.array([np.nan, np.inf, -1.0])).tolist() == [0, 255, 0]


def test_luminance_is_rec709s() -> None:
    assert luminance(np.eye(3)).tolist() == pytest.approx([0.2126, 0.7152, 0.0722])
    assert luminance(np.ones((2, 5, 3))).shape == (2, 5)
