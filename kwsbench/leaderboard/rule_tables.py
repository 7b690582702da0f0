"""The tables of a competition's rules: late entries, how many entries, the ranking, points, the private part."""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kwsbench.manifest.fields import Sha256, Table

_SHORTEST_KEY = 32
_SLUG = r"^[a-z0-9][a-z0-9_-]{0,62}$"

Metric = Literal["accuracy", "balanced_accuracy", "frr", "far", "confusion_rate", "macro_frr", "macro_far"]
"""What entries can be ranked by: figures that are sums over clips, which paired tests need."""

Slug = Annotated[str, Field(pattern=_SLUG)]
"""A team or an entry, as its folder is called."""

Anchor = Annotated[float | str, Field(union_mode="left_to_right")]
"""A value of the ranking metric, or the key of an entry (`baselines/cnn`) whose value it is."""


class Late(Table):
    """What becomes of an entry after the deadline.

    Attributes:
        days: Days after the deadline on which entries are still taken; a day that has begun counts whole.
        points_per_day: Points that each of those days costs.
    """

    days: int = Field(default=0, ge=0, le=366)
    points_per_day: float = Field(default=0.0, ge=0)


class Entries(Table):
    """How many entries a team may have, and which of them count.

    Attributes:
        per_day: Entries that a team may hand in on one day, in the time zone of the competition; None is any number.
        final_per_team: Entries of a team that are ranked and graded in the end; None is all of them.
        final_by: Which: those with the best private score (where nothing is private, the best score), the latest, or
            those in `named`.
        named: Team to its final entries, where `final_by` is `named`; a team that is not there gets its latest.
    """

    per_day: int | None = Field(default=None, ge=1)
    final_per_team: int | None = Field(default=None, ge=1)
    final_by: Literal["best private", "latest", "named"] = "best private"
    named: dict[Slug, tuple[Slug, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_for_something(self) -> Self:
        if self.named and self.final_by != "named":
            raise ValueError('[entries.named] counts only with final_by = "named"')
        for team, names in self.named.items():
            if self.final_per_team is not None and len(names) > self.final_per_team:
                raise ValueError(f"{len(names)} final entries of {team}, more than final_per_team")
        return self


class Ranking(Table):
    """What decides about the order.

    Attributes:
        metric: The figure.
        ties: Entries with equal figures share a rank (`band`), or the one that was handed in first is ahead
            (`earlier`).
    """

    metric: Metric = "accuracy"
    ties: Literal["band", "earlier"] = "band"

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger figure is the better one: true of accuracies, false of error rates."""
        return self.metric.endswith("accuracy")


class Points(Table):
    """How points follow from the final ranking.

    Attributes:
        by: `band`: the points of the entry's band. `scale`: 0 at `zero_at`, `most` at `full_at`, on a straight line in
            between and never outside of the two.
        bands: Points of band 1, of band 2, and so on; bands beyond the last have the last one's.
        most: Points at `full_at`.
        zero_at: Value of the ranking metric, or the entry whose value it is, that gets 0 points.
        full_at: The same for `most` points.
    """

    by: Literal["band", "scale"]
    bands: tuple[Annotated[float, Field(ge=0)], ...] = ()
    most: float = Field(default=10.0, gt=0)
    zero_at: Anchor | None = None
    full_at: Anchor | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.by == "band" and not self.bands:
            raise ValueError('by = "band" needs bands = [points of band 1, points of band 2, ...]')
        if list(self.bands) != sorted(self.bands, reverse=True):
            raise ValueError("bands must not rise: band 1 is the best")
        if self.by == "scale" and None in (self.zero_at, self.full_at):
            raise ValueError('by = "scale" needs zero_at and full_at')
        if self.by == "scale" and self.zero_at == self.full_at:
            raise ValueError("zero_at and full_at must differ")
        return self


class Private(Table):
    """The part of the clips whose scores stay hidden until the key is revealed.

    Attributes:
        share: About which share of the speakers is private.
        key_sha256: SHA-256 of the key as UTF-8 text: published on the first day, so that nobody can choose the key
            later.
        key: The key, at least 32 characters; None until it is revealed.
    """

    share: float = Field(gt=0, lt=1)
    key_sha256: Sha256
    key: str | None = None

    @model_validator(mode="after")
    def _key_is_the_committed_one(self) -> Self:
        if self.key is not None:
            check_key(self.key, self.key_sha256)
        return self


def check_key(key: str, key_sha256: str) -> None:
    """Raises ValueError where a key is too short to keep a secret, or not the one that was committed."""
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"the key has {len(key)} characters, and fewer than {_SHORTEST_KEY} can be guessed")
    if not hmac.compare_digest(hash_of_key(key), key_sha256):
        raise ValueError("the key is not the one whose hash is key_sha256")


def hash_of_key(key: str) -> str:
    """Returns what commits to a key: the SHA-256 of its UTF-8 text."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
