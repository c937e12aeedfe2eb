"""The groups that options are shown in, in help and in the docs."""

PICTURES, PLACEMENT, METHOD, LOSSES, MACHINE, OUTPUT = (
    "Pictures",
    "Placement",
    "Method",
    "Losses",
    "Machine",
    "Run and output",
)
SHEET, VIDEO = "Sheet", "Video"
