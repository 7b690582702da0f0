"""Templates: found where kwsbench is, filled in with everything escaped, and strict about what is missing."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from kwsbench.catalogue import shipped_folder
from kwsbench.extras import import_extra


def design_folder(part: str) -> Path:
    """Returns the folder `templates`, `style` or `script`: in the checkout when developing, else beside the package."""
    return shipped_folder("leaderboard") / part


class Templates:
    """The templates of the site.

    Args:
        folder: Where they are; the shipped ones by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        jinja2 = import_extra("jinja2", "leaderboard", "Jinja2")
        self.folder = folder or design_folder("templates")
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self.folder),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )

    def fill(self, name: str, **values: Any) -> str:
        """Returns the template of that name, filled in."""
        return str(self._environment.get_template(name).render(values))

    def block(self, name: str, block: str) -> str:
        """Returns one block of a template that needs no values, as text."""
        template = self._environment.get_template(name)
        return str(safe_html()("".join(template.blocks[block](template.new_context()))).unescape())

    def sha256(self) -> str:
        """Returns a hash of all templates by name and content."""
        total = hashlib.sha256()
        for path in sorted(self.folder.rglob("*.*")):
            name = path.relative_to(self.folder).as_posix()
            total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
        return total.hexdigest()


@cache
def safe_html() -> Any:
    """Returns the type that marks text as HTML that is already safe."""
    return import_extra("markupsafe", "leaderboard", "MarkupSafe").Markup
