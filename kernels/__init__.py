"""The model's hot operations: each a definition in torch and a Triton kernel behind one public function."""

from .modulated_norm import modulated_layer_norm, residual_modulated_layer_norm
from .reproject import Reprojected, reproject
from .rope3d import qk_norm_rope, rope3d_tables

__all__ = [
    "Reprojected",
    "modulated_layer_norm",
    "qk_norm_rope",
    "reproject",
    "residual_modulated_layer_norm",
    "rope3d_tables",
]
