"""The scene of the pictures that a command names, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from deep_image_blending.declaration import chosen
from deep_image_blending.options.catalogue import catalogue
from deep_image_blending.options.picture_files import PictureFiles
from deep_image_blending.options.resolve import placed

if TYPE_CHECKING:
    from deep_image_blending.pictures.scene import Scene


def placed_scene(
    given: Mapping[str, Any], demo: bool = True, say: Callable[[str], None] = lambda _: None
) -> Scene:
    """The scene of what was given; without any picture, where `demo`, a bundled one's. Raises InputError."""
    from deep_image_blending.pictures import load_mask, load_picture
    from deep_image_blending.pictures.cutting.matte import matted
    from deep_image_blending.pictures.demo import demo_unless_given, require_pictures
    from deep_image_blending.pictures.scene import compose_scene
    from deep_image_blending.runs.room import require_room_for_files

    if demo:
        given, _ = demo_unless_given(given)
    require_pictures(given)
    files, placement = chosen(PictureFiles, given), placed(given)
    limit = {} if placement.max_pixels is None else {"max_pixels": placement.max_pixels}
    assert files.source_file is not None
    assert files.target_file is not None
    paths = {"source": files.source_file, "mask": files.mask_file, "target": files.target_file}
    require_room_for_files(paths, placement)
    mask = None if files.mask_file is None else load_mask(files.mask_file, **limit)
    source, target = load_picture(files.source_file, **limit), load_picture(files.target_file, **limit)
    mode = catalogue()["matte"].coerced(given.get("matte", "off"))
    if mode != "off":
        found = matted(source, mask, mode, placement.fit_mask)
        source, mask = found.source, found.mask
        say(found.said)
    return compose_scene(source, mask, target, placement)
