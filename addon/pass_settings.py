"""Settings of an engine for a pass, on the stand-in scene alone (passes.py)."""

from __future__ import annotations

from typing import Any

import bpy


def set_file_space(settings: Any, name: str) -> None:
    """Write the EXR in this colour space, also where the scene works in another one (5.0 can)."""
    try:
        settings.color_management = "OVERRIDE"
        settings.linear_colorspace_settings.name = name
    except TypeError:  # a studio's own OCIO configuration without that name: files are then in its linear space
        settings.color_management = "FOLLOW_SCENE"


def prepare_workbench(scene: bpy.types.Scene) -> None:
    """One sample at the pixel's centre, solid surfaces."""
    scene.display.render_aa = "OFF"
    shading = scene.display.shading
    shading.show_xray = shading.show_xray_wireframe = shading.show_backface_culling = False
    shading.use_dof = shading.show_shadows = shading.show_cavity = False


def prepare_cycles_depth(cycles: Any) -> None:
    """One ray through each pixel's centre, no light."""
    _plain_sampling(cycles)
    cycles.device, cycles.samples, cycles.max_bounces = "CPU", 1, 0
    # The first sample looks through the middle of the filter; of the two that can be this narrow, BOX has its middle
    # 0.0005 px off (a relative error of 2e-5 on a floor), this one has it at the centre (4e-7).
    cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", 0.01


def prepare_cycles_beauty(cycles: Any, device: str, bounces: int) -> None:
    _plain_sampling(cycles)
    cycles.device, cycles.max_bounces = device, bounces
    cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", 1.5
    cycles.use_animated_seed = True  # noise that stood still would read as a texture stuck to the screen
    try:
        cycles.use_denoising = True
        cycles.denoiser = "OPENIMAGEDENOISE"
        # Half the time of the best settings, and the camera lock of a render reads the same (0.001 px apart).
        cycles.denoising_prefilter = "FAST"
        if hasattr(cycles, "denoising_quality"):
            cycles.denoising_quality = "BALANCED"
    except TypeError:
        cycles.use_denoising = False  # this build has no denoiser


def _plain_sampling(cycles: Any) -> None:
    cycles.use_adaptive_sampling = cycles.use_denoising = False
    cycles.time_limit = 0.0
    cycles.use_layer_samples = "IGNORE"
    if hasattr(cycles, "use_sample_subset"):  # since 4.5
        cycles.use_sample_subset = False
