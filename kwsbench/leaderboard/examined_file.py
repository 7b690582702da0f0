"""What was found in an entry, as one small file: a line of JSON, then its arrays as raw bytes.

The file says its own checksum, so that one that was cut short or damaged is known to be none. It is read in a fraction
of a millisecond: a board of a thousand entries reads a thousand of them.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwsbench.leaderboard.examine import Examined
from kwsbench.metrics.detection import CurvePoints
from kwsbench.score.evaluate import Figure, KeywordScore, Score
from kwsbench.submission.record import Submission

_CHECKSUM_BYTES = 8
_TYPES = ("<u2", "<i8", "<f8")
_PATHS = ("folder", "model", "predictions", "report", "definition")

Arrays = dict[str, NDArray[Any]]


def encode(found: Examined) -> bytes:
    """Returns what was found as bytes."""
    arrays: Arrays = {} if found.predicted is None else {"predicted": found.predicted.astype("<u2")}
    record = {
        "content_sha256": found.content_sha256,
        "submission": found.submission and submission_record(found.submission),
        "problems": found.problems,
        "refusal": found.refusal,
        "tier": found.tier,
        "score": found.score and _score_record(found.score, arrays),
    }
    shapes = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    header = json.dumps({**record, "arrays": shapes}).encode()
    content = b"\n".join([header, b"".join(array.tobytes() for array in arrays.values())])
    return f"{zlib.crc32(content):08x}".encode() + content


def decode(data: bytes) -> Examined:
    """Returns what `encode` was called on.

    Raises:
        ValueError: The bytes are not whole.
    """
    checksum, content = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    if checksum != f"{zlib.crc32(content):08x}".encode():
        raise ValueError("the file is damaged")
    header, _, raw = content.partition(b"\n")
    record = json.loads(header)
    arrays = _arrays(record.pop("arrays"), raw)
    submission, score = record["submission"], record["score"]
    return Examined(
        content_sha256=record["content_sha256"],
        submission=submission and submission_from(submission),
        problems=tuple(record["problems"]),
        refusal=record["refusal"],
        tier=record["tier"],
        predicted=arrays.get("predicted"),
        score=score and _score_from(score, arrays),
    )


def _arrays(shapes: Mapping[str, Any], raw: bytes) -> Arrays:
    arrays: Arrays = {}
    start = 0
    for name, (kind, shape) in shapes.items():
        if kind not in _TYPES:
            raise ValueError(f"no array of type {kind}")
        count = math.prod(shape)
        arrays[name] = np.frombuffer(raw, dtype=kind, count=count, offset=start).reshape(shape)
        start += arrays[name].nbytes
    return arrays


def submission_record(submission: Submission) -> dict[str, Any]:
    """Returns a submission as JSON can hold it."""
    fields = {name: getattr(submission, name) for name in submission.__dataclass_fields__}
    paths = {name: fields[name] and str(fields[name]) for name in _PATHS}
    sha256, members = dict(submission.sha256), list(submission.members)
    return {**fields, **paths, "sha256": sha256, "members": members, "submitted": submission.submitted.isoformat()}


def submission_from(record: Mapping[str, Any]) -> Submission:
    """Returns what `submission_record` was called on."""
    paths = {name: record[name] and Path(record[name]) for name in _PATHS}
    members, submitted = tuple(record["members"]), datetime.fromisoformat(record["submitted"])
    return Submission(**{**record, **paths, "members": members, "submitted": submitted})


def _score_record(score: Score, arrays: Arrays) -> dict[str, Any]:
    """The score without its arrays, which are put beside the others."""
    arrays["confusion"] = score.confusion.astype("<i8")
    if score.det:
        arrays["det"] = np.concatenate([np.stack(points) for points in score.det.values()], axis=1).astype("<f8")
    return {
        "labels": score.labels,
        "num_keywords": score.num_keywords,
        "num_clips": score.num_clips,
        "num_speakers": score.num_speakers,
        "summary": [list(asdict(figure).values()) for figure in score.summary],
        "keywords": [list(asdict(row).values()) for row in score.keywords],
        "det": {keyword: len(points.frr) for keyword, points in score.det.items()},
    }


def _score_from(record: Mapping[str, Any], arrays: Arrays) -> Score:
    return Score(
        labels=tuple(record["labels"]),
        num_keywords=record["num_keywords"],
        num_clips=record["num_clips"],
        num_speakers=record["num_speakers"],
        summary=tuple(Figure(*values) for values in record["summary"]),
        keywords=tuple(KeywordScore(*values) for values in record["keywords"]),
        confusion=arrays["confusion"],
        det=dict(_curves(record["det"], arrays)),
    )


def _curves(lengths: Mapping[str, int], arrays: Arrays) -> Iterator[tuple[str, CurvePoints]]:
    start = 0
    for keyword, length in lengths.items():
        yield keyword, CurvePoints(*arrays["det"][:, start : start + length])
        start += length
