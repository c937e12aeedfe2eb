"""Every option of a run, declared once; the presets; how an option is spelt."""
