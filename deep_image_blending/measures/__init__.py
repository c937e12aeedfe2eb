"""Quality of a blend without ground truth: one file a measure, found by itself.

None of them knows the truth: an object may differ from its surroundings because it is another thing. They tell
blends of one scene apart, not scenes. A measure is added as a file here that declares it with `@measure`; tables,
reports and run.json show it from then on.
"""

from __future__ import annotations

import importlib
import pkgutil

from deep_image_blending.measures.evaluation import evaluate_scene
from deep_image_blending.measures.measure import Measure, declared

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")

MEASURES = declared()

__all__ = ["MEASURES", "Measure", "evaluate_scene"]
