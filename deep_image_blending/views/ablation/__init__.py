"""What each loss is for: the blend with one of them left out at a time (as the ablation study of WACV 2020)."""

from deep_image_blending.views.ablation.study import Row, sheet, study
from deep_image_blending.views.ablation.variant import FULL, Variant, variants

__all__ = ["FULL", "Row", "Variant", "sheet", "study", "variants"]
