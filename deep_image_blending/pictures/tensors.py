"""Pictures as tensors, and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deep_image_blending.pictures.bit_depth import Float


def image_tensor(array: Float, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).permute(2, 0, 1)[None].contiguous().to(device)


def plane_tensor(array: Float, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))[None, None].to(device)


def picture_array(image: Tensor) -> Float:
    return image[0].permute(1, 2, 0).clamp(0, 255).contiguous().cpu().numpy()
