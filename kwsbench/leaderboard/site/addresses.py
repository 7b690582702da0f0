"""Where the pages of a site lie, relative to each other: the same from a disk, a server's root and any sub-path."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from kwsbench.errors import InputError
from kwsbench.leaderboard.board import Entry
from kwsbench.submission.names import SLUG


def team_folder(entry: Entry) -> str:
    """Returns the folder of a team's pages, downloads and pictures, from the root of the site.

    Raises:
        InputError: The team or the entry is called what no folder may be called.
    """
    team, name = entry.submission.team, entry.submission.entry
    if not (re.fullmatch(SLUG, team) and re.fullmatch(SLUG, name)):
        raise InputError("cannot make a page for an entry whose team or name cannot be part of an address")
    return f"entries/{team}"


def entry_page(entry: Entry) -> str:
    """Returns the page of an entry, from the root of the site."""
    return f"{team_folder(entry)}/{entry.submission.entry}.html"


def root_of(page: str) -> str:
    """Returns the way from a page to the root of the site: nothing, or some `../`."""
    return "../" * page.count("/")


def ranking_view(**view: str) -> str:
    """Returns the address of the ranking in some view, from the root: `index.html#team=blue-owls`."""
    return f"index.html#{urlencode(view)}"
