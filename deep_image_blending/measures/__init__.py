"""Quality without ground truth, of finished pictures."""

from deep_image_blending.measures.measures import MEASURES, evaluate_scene

__all__ = ["MEASURES", "evaluate_scene"]
