"""`python -m deep_image_blending.cli` is `blend`."""

from deep_image_blending.cli.app import main

main()
