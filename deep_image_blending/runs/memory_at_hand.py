"""How much memory is at hand: the machine's, the container's, the graphics card's."""

from __future__ import annotations

from pathlib import Path


def resident() -> int:
    """Bytes of memory that this process holds now; 0 where the system does not say."""
    status = _fields(Path("/proc/self/status"))
    return status.get("VmRSS", 0)


def host_available() -> int | None:
    """Bytes that can still be taken without swapping, container limits respected; None where unknown."""
    found = [
        value for value in (_fields(Path("/proc/meminfo")).get("MemAvailable"), *_groups()) if value is not None
    ]
    return min(found, default=None)


def device_available(device: str) -> int | None:
    """Bytes free on a CUDA device, with what this process's allocator holds unused; None for other devices."""
    if not device.startswith("cuda"):
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free) + int(unused)


def _fields(path: Path) -> dict[str, int]:
    """`Name:  123 kB` lines, in bytes."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            found[name] = 1024 * int(words[0])
    return found


def _groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """What control groups (version 2, then 1) leave, from this process's own group to the root.

    Pages of files that nobody uses count as used there, but give way.
    """
    try:
        lines = own.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    left = []
    for line in lines or ["0::/"]:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            top, limit, usage, reclaimable = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            reclaimable = "total_inactive_file"
        else:
            continue
        # Inside a container, the path may be one of the host's: then the root is the group.
        folder = top / path.strip("/")
        for place in (folder, *folder.parents):
            bound, used = _number(place / limit), _number(place / usage)
            if bound is not None and used is not None:
                left.append(max(0, bound - used + _statistic(place / "memory.stat", reclaimable)))
            if place == top:
                break
    return left


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _statistic(path: Path, name: str) -> int:
    try:
        rows = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return 0
    return next((int(row[1]) for row in rows if len(row) == 2 and row[0] == name), 0)
