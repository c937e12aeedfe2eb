"""What a pass compares with at a resolution, whatever it has seen before."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deep_image_blending.networks.backbones import load_backbone
from deep_image_blending.objectives import statistics
from deep_image_blending.objectives.objective import Prepared, Setting
from deep_image_blending.objectives.target_style import pooled, similarity, target_moments
from deep_image_blending.options.presets import preset
from deep_image_blending.pictures import load_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import averaged, compose_scene
from deep_image_blending.pictures.tensors import image_tensor, plane_tensor
from tests.conftest import disc_mask, smooth_picture

CPU = torch.device("cpu")
TAPS = ("relu1_2", "relu2_2")


def _setting(scale: int, prepared: Prepared) -> Setting:
    """A second pass at a scale; the target's sides are no multiples of it."""
    target, source = (load_picture(smooth_picture(seed, 151, 133)) for seed in (1, 2))
    mask = disc_mask(151, 133).astype(np.float32) / 255
    scene = compose_scene(source, mask, target, Placement())
    fine = scene.window(8)
    full = fine.target + fine.mask[..., None] * (fine.source - fine.target)
    own = dataclasses.replace(preset("natural").second, backbone="random", style_layers=TAPS)
    window, begun = fine.coarser(scale), averaged(full, scale)
    network = load_backbone("random", set(TAPS)).network
    return Setting("second_pass", scene, window, own, network, begun, CPU, prepared, whole=(fine, full))


def test_a_large_window_is_compared_at_half_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MOST_COMPARED", 6000)
    alone = statistics.target_statistics(_setting(1, Prepared()), np.zeros(0))
    prepared = Prepared()
    coarse = _setting(2, prepared)
    assert coarse.window.mask.size < 6000 < coarse.fine.mask.size <= 4 * 6000
    statistics.target_statistics(coarse, np.zeros(0))
    calls: list[None] = []
    monkeypatch.setattr(statistics, "similarity", lambda *_: calls.append(None))
    after = statistics.target_statistics(_setting(1, prepared), np.zeros(0))
    assert not calls
    # The same bits with and without the coarser resolution before it: a pass may be continued between the two.
    for tap in TAPS:
        assert torch.equal(alone.moments[tap], after.moments[tap])

    target, mask = image_tensor(coarse.window.target, CPU), plane_tensor(coarse.window.mask, CPU)
    seen = pooled(coarse.network, target, TAPS[-1])
    shown = torch.lerp(target, image_tensor(coarse.begun, CPU), mask)
    map_ = similarity(coarse.network, seen, shown, mask, TAPS[-1])
    full = F.interpolate(map_, size=coarse.fine.mask.shape, mode="bilinear")
    halved = F.avg_pool2d(full, 2, ceil_mode=True, count_include_pad=False)
    rows, columns = (side // 2 for side in full.shape[2:])
    weights = {"relu1_2": full, "relu2_2": halved[..., :rows, :columns]}
    wanted = target_moments(coarse.network, image_tensor(coarse.fine.target, CPU), TAPS, weights)
    for tap in TAPS:
        torch.testing.assert_close(after.moments[tap], wanted[tap], rtol=1e-4, atol=1e-6)
