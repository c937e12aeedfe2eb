from __future__ import annotations

import pytest

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import Placement
from deep_image_blending.runs import memory_at_hand, room


def test_a_turned_source_takes_the_room_of_its_larger_canvas() -> None:
    sizes = {"source": (4000, 4000), "target": (100, 100)}
    # Sixteen bytes a pixel as it is; turned by an eighth, twice the pixels, and they are copied.
    limit = memory_at_hand.resident() / room.GIB + 0.5
    room.require_room_for_pictures(sizes, Placement(), limit)
    with pytest.raises(InputError, match="not enough memory"):
        room.require_room_for_pictures(sizes, Placement(rotate=45), limit)


@pytest.mark.parametrize(("free", "enough"), [(256_000_000, True), (255_000_000, False)])
def test_a_picture_alone_takes_sixteen_bytes_a_pixel(
    monkeypatch: pytest.MonkeyPatch, free: int, enough: bool
) -> None:
    monkeypatch.setattr(memory_at_hand, "host_available", lambda: free)
    sizes = {"source": (4000, 4000)}
    if enough:
        room.require_room_for_pictures(sizes, Placement(), None)
        return
    with pytest.raises(InputError, match="give a smaller picture"):
        room.require_room_for_pictures(sizes, Placement(), None)


@pytest.mark.parametrize(("free", "enough"), [(390_000_000, True), (370_000_000, False)])
def test_reading_takes_what_decoding_does_beside_the_pictures_kept(
    monkeypatch: pytest.MonkeyPatch, free: int, enough: bool
) -> None:
    monkeypatch.setattr(memory_at_hand, "host_available", lambda: free)
    # 48 MB of colours and 64 of a mask are kept; of the mask, decoding holds 336 MB, of which 272 beside it.
    sizes, decoding = (
        {"source": (4000, 4000), "strokes": (4000, 4000)},
        {"source": 100_000_000, "strokes": 336_000_000},
    )
    if enough:
        room.require_room_for_pictures(sizes, Placement(), None, decoding)
        return
    with pytest.raises(InputError, match="not enough memory"):
        room.require_room_for_pictures(sizes, Placement(), None, decoding)
