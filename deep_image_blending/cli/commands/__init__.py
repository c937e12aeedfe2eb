"""The commands, one file each, found by themselves: a class with `@command`, its arguments as fields, `run`."""
