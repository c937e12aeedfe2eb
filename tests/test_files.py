"""Files are written whole, through links, with the permissions of the process, and never over what is no file."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write
from deep_image_blending.pictures import check_writable, write_picture

BLACK = np.zeros((3, 4, 3), np.uint8)


def _device(path: Path) -> None:
    try:
        # The numbers of /dev/full, in a scratch folder.
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    except PermissionError:
        pytest.skip("devices are made by root alone")


def _socket(path: Path) -> None:
    # A socket's path has at most about a hundred characters.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(_device, "device"), (os.mkfifo, "pipe"), (_socket, "socket"), (Path.mkdir, "folder")],
    ids=["device", "pipe", "socket", "folder"],
)
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_refused_and_stays(
    tmp_path: Path, make: Callable[[Path], None], kind: str, linked: bool
) -> None:
    path = tmp_path / "out.png"
    make(path)
    before = path.lstat()
    if linked:
        (tmp_path / "link.png").symlink_to(path)
        path = tmp_path / "link.png"

    def plainly(path: Path) -> None:
        with atomic_write(path) as file:
            file.write(b"x")

    for write in (plainly, check_writable, lambda path: write_picture(path, BLACK)):
        with pytest.raises(InputError, match=f"is a {kind}; give a file name") as raised:
            write(path)
        assert "\n" not in str(raised.value)
    after = (tmp_path / "out.png").lstat()
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert not list(tmp_path.glob(".*"))


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.txt", tmp_path / "link.txt"
    link.symlink_to(Path("there") / "real.txt")
    # The first time there is nothing yet where the link leads.
    for text in (b"one", b"two"):
        with atomic_write(link) as file:
            file.write(text)
        assert link.is_symlink()
        assert real.read_bytes() == text
    assert [path.name for path in real.parent.iterdir()] == ["real.txt"]


def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(InputError, match="symbolic links; give another file name"):
        write_picture(tmp_path / "a.png", BLACK)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_permissions_follow_the_umask_which_nobody_touches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    before = os.umask(umask)
    try:
        with monkeypatch.context() as patched:
            patched.setattr("os.umask", lambda mask: pytest.fail("the umask belongs to the whole process"))
            with atomic_write(tmp_path / "a") as file:
                file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_a_failure_leaves_the_earlier_file_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")

    def midway() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"half")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        midway()
    assert (tmp_path / "a").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
