"""The walls: which command line makes bubblewrap start the child, and whether bubblewrap works on this machine.

Seen from inside, the disk holds Python, the installed packages, kwsbench and what the call hands over, all read-only.
There is a /tmp of its own, limited in size and gone with the child, and nothing else to write to. /proc is not
mounted: PyTorch, onnxruntime and LightGBM do without, and a TorchScript archive, which can write to any path, could
forge the answer through /proc/self/fd. Of it only the description of the processor is there, with which those
libraries choose their kernels.

Source: `bwrap(1)`, bubblewrap 0.6 or newer.
"""

from __future__ import annotations

import functools
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kwsbench.sandbox.limits import NOBODY

_PACKAGE = Path(__file__).parents[1]

_NAMESPACES = (
    *("--unshare-all", "--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox"),
    *("--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv"),
)
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_ENVIRONMENT = {
    **dict.fromkeys(_ONE_THREAD, "1"),
    "CUDA_VISIBLE_DEVICES": "",
    "HOME": "/tmp",  # noqa: S108
    "TMPDIR": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
}
_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/nix/store", "/gnu/store")
_LIBRARY_LINKS = ("/lib", "/lib64")
_SINGLE_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/proc/cpuinfo", "/sys/devices/system/cpu")
_DEVICES = ("/dev/null", "/dev/urandom")
_MAX_LINKS = 40

_TRUE = ("-I", "-S", "-c", "pass")
_PROBE_S = 30


def command(
    arguments: Sequence[str],
    *,
    bwrap: str,
    tmp_bytes: int,
    folders: Iterable[Path] = (),
    files: Mapping[str, int] | None = None,
) -> list[str]:
    """Returns the command line that runs this Python with `arguments` inside the walls.

    Args:
        arguments: What Python is told.
        bwrap: Path of bubblewrap.
        tmp_bytes: Size of the private /tmp.
        folders: Folders or files that are seen inside, read-only, at their own path.
        files: Path inside, and the open file descriptor whose bytes become a read-only file there.
    """
    return [
        bwrap,
        *_NAMESPACES,
        *(part for name, value in _ENVIRONMENT.items() for part in ("--setenv", name, value)),
        *("--size", str(tmp_bytes), "--tmpfs", "/tmp"),  # noqa: S108
        *(part for path in _DEVICES for part in ("--dev-bind", path, path)),
        *(part for path in _SINGLE_FILES for part in ("--ro-bind-try", path, path)),
        *_links_to_libraries(),
        *(part for path in _bound([*_python_folders(), *folders]) for part in ("--ro-bind", str(path), str(path))),
        *(part for path, number in (files or {}).items() for part in ("--ro-bind-data", str(number), path)),
        *("--remount-ro", "/", "--chdir", "/tmp"),  # noqa: S108
        *(sys.executable, *arguments),
    ]


def import_folders() -> list[Path]:
    """Returns what the child imports from: the folder that kwsbench lies in, then those of installed packages."""
    return [_PACKAGE.parent, *_installed()]


def _installed() -> list[Path]:
    named = (Path(entry) for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"})
    known = (Path(entry) for entry in site.getsitepackages())
    return [*dict.fromkeys(path for path in (*named, *known) if path.is_dir())]


def _python_folders() -> Iterator[Path]:
    yield from map(Path, (*_SYSTEM_LIBRARIES, *_LIBRARY_LINKS))
    for prefix in dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)):
        yield from (Path(prefix, name) for name in ("bin", "lib", "lib64", "pyvenv.cfg"))
    yield from _hops(Path(sys.executable))
    yield from _installed()
    yield _PACKAGE
    if (_PACKAGE.parent / "pyproject.toml").is_file():
        yield _PACKAGE.parent / "baselines"


def _hops(link: Path) -> Iterator[Path]:
    """Yields every path on the way from a link to its file: a virtual environment's Python is often a chain of them."""
    for _ in range(_MAX_LINKS):
        yield link
        if not link.is_symlink():
            return
        link = Path(os.path.normpath(link.parent / link.readlink()))


def _bound(wanted: Iterable[Path]) -> list[Path]:
    """Returns what has to be bound, each under its own and its real path, less what another already shows."""
    bound: dict[Path, None] = {}
    for path in (Path(name) for one in wanted if one.exists() for name in (one.absolute(), one.resolve())):
        if not (_is_library_link(path) or any(path.is_relative_to(other) for other in bound)):
            bound[path] = None
    return list(bound)


def _links_to_libraries() -> Iterator[str]:
    for name in filter(_is_library_link, map(Path, _LIBRARY_LINKS)):
        yield from ("--symlink", str(name.readlink()), str(name))


def _is_library_link(path: Path) -> bool:
    return str(path) in _LIBRARY_LINKS and path.is_symlink()


@functools.cache
def unavailable_reason() -> str | None:
    """Returns why strangers' code cannot be run safely on this machine, and what helps; None where it can.

    Bubblewrap is tried once, with everything that a real call asks of it.
    """
    if sys.platform != "linux":
        return "there is no sandbox on this system: bubblewrap needs Linux (on Windows: WSL 2)"
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return (
            "there is no sandbox on this machine: bubblewrap (`bwrap`) is not installed; install it with "
            "`sudo apt install bubblewrap` (Debian, Ubuntu), `sudo dnf install bubblewrap` (Fedora) or "
            "`sudo pacman -S bubblewrap` (Arch)"
        )
    return _why_bwrap_fails(bwrap)


def _why_bwrap_fails(bwrap: str) -> str | None:
    probe = command(_TRUE, bwrap=bwrap, tmp_bytes=1 << 20)
    try:
        result = subprocess.run(  # noqa: S603
            probe,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return failure(bwrap, str(error))
    return failure(bwrap, result.stderr) if result.returncode else None


def failure(bwrap: str, said: str) -> str:
    """Returns the sentence for a bubblewrap that is there and could not start Python: what it said, what helps."""
    lines = said.strip().splitlines() or ["nothing"]
    return f"the sandbox does not work on this machine: {bwrap} said {lines[-1]!r}; {_what_helps(said)}"


def _what_helps(said: str) -> str:
    if "nknown option" in said:
        return "it is older than 0.6: install a newer bubblewrap"
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return "allow user namespaces with `sudo sysctl kernel.unprivileged_userns_clone=1`"
    if _setting("user/max_user_namespaces") == "0":
        return "allow user namespaces with `sudo sysctl user.max_user_namespaces=15000`"
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor forbids it: load the profile `bwrap-userns-restrict` of the package apparmor-profiles, "
            "or `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
        )
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "start the container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`"
    return "it needs user namespaces (`man bwrap`)"


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text(encoding="ascii").strip()
    except OSError:
        return ""
