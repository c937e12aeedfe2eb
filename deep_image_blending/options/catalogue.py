"""Every option by its name, from wherever it is declared, in the order in which help shows them."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from deep_image_blending.declaration import Option, options_of
from deep_image_blending.losses.declaration import declared
from deep_image_blending.options.groups import LOSSES, MACHINE, METHOD, OUTPUT, PICTURES, PLACEMENT
from deep_image_blending.options.machine import Machine
from deep_image_blending.options.output import Output
from deep_image_blending.options.pass_options import PassName, PassOptions
from deep_image_blending.options.picture_files import PictureFiles
from deep_image_blending.options.run_options import Options
from deep_image_blending.pictures.placement import Placement

OWNERS = (PictureFiles, Placement, Options, PassOptions, Machine, Output)
GROUPS = (PICTURES, PLACEMENT, METHOD, LOSSES, MACHINE, OUTPUT)


@functools.cache
def catalogue() -> Mapping[str, Option]:
    """All options that a run takes, by name."""
    found: dict[str, Option] = {}
    for owner in OWNERS:
        found.update(options_of(owner))
    found.update({loss.option.name: loss.option for loss in declared().values()})
    ordered = sorted(found.values(), key=lambda one: GROUPS.index(one.group))
    return {one.name: one for one in ordered}


def names_of(*owners: type) -> tuple[str, ...]:
    """The names of the options that these dataclasses declare."""
    return tuple(name for owner in owners for name in options_of(owner))


def for_passes(passes: tuple[PassName, ...]) -> tuple[str, ...]:
    """The names of the options that mean something to these passes."""
    scopes = {"both", *(name.partition("_")[0] for name in passes)}
    return tuple(name for name, one in catalogue().items() if one.scope in scopes)
