"""The local preview: what it serves, when it builds again, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kwsbench.errors import InputError
from kwsbench.leaderboard.site.serve import HOST, rebuilt_if_changed, serving, stamps


def get(address: str, **headers: str) -> tuple[int, str]:
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_it_serves_the_folder_and_nothing_above_it(tmp_path: Path) -> None:
    """Files of the site are served without being kept, what lies above is not, and neither is a visitor by another name."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("hello", encoding="utf-8")
    with serving(tmp_path / "site", 0) as address:
        assert get(address) == (200, "hello")
        assert get(f"{address}../secret.txt")[0] == 404
        assert get(f"{address}%2e%2e/secret.txt")[0] == 404
        assert get(address, Host="evil.example:80")[0] == 403


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    """A port that is taken, or none that there can be, is one sentence with a remedy."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(InputError, match=f"port {port}: it is in use; choose another one with --port"),
            serving(tmp_path, port),
        ):
            pass
    with pytest.raises(InputError, match="cannot serve at port 70000"), serving(tmp_path, 70_000):
        pass


def test_it_builds_again_only_after_a_change(tmp_path: Path) -> None:
    """A new, a changed and a removed file each lead to one build, a hidden file and nothing at all to none."""
    builds: list[int] = []
    said: list[str] = []

    def look(before: frozenset[tuple[str, int, int]]) -> frozenset[tuple[str, int, int]]:
        return rebuilt_if_changed(lambda: builds.append(1), [tmp_path], before, said.append)

    state = stamps([tmp_path])
    state = look(state)
    assert builds == []
    (tmp_path / "a.csv").write_text("1", encoding="utf-8")
    state = look(look(state))
    assert len(builds) == 1
    (tmp_path / "a.csv").write_text("12", encoding="utf-8")
    state = look(state)
    assert len(builds) == 2
    (tmp_path / ".a.swp").write_text("x", encoding="utf-8")
    state = look(state)
    assert len(builds) == 2
    (tmp_path / "a.csv").unlink()
    look(state)
    assert len(builds) == 3
    assert said[0].startswith("built again in ")


def test_a_build_that_fails_is_told_and_not_tried_again_before_the_next_change(tmp_path: Path) -> None:
    """An error of a rebuild is said once, and the preview goes on."""
    said: list[str] = []

    def build() -> None:
        raise InputError("the rules cannot be used")

    (tmp_path / "a").write_text("1", encoding="utf-8")
    state = rebuilt_if_changed(build, [tmp_path], frozenset(), said.append)
    rebuilt_if_changed(build, [tmp_path], state, said.append)
    assert said == ["the site stays as it was: the rules cannot be used"]


def test_control_c_ends_it_without_a_word_of_python(tmp_path: Path) -> None:
    """Ctrl-C says that it stopped, and leaves with code 0 and nothing on stderr."""
    code = (
        "import sys; from pathlib import Path\n"
        "from kwsbench.leaderboard.site.serve import serve\n"
        "say = lambda text: print(text, flush=True)\n"
        "serve(lambda: None, Path(sys.argv[1]), [Path(sys.argv[1])], port=0, say=say)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert "(Ctrl-C ends it)" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (0, "stopped\n", "")
