"""Bad input of every kind, and a naive reader of ten lines as oracle for the fast and the slow path."""

import csv
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kwsbench import predictions as predictions_module
from kwsbench.errors import InputError
from kwsbench.prediction_problems import TableRules, read_header, read_slowly
from kwsbench.predictions import Predictions, read_predictions, read_truth, write_predictions

PROPERTY = settings(
    deadline=None,
    derandomize=True,
    max_examples=300,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
IDS = ("yes/a.wav", "no/b.wav", "00176480", "1641e121", "1e5", "007", "null", "NA", "nan", "on")
LABELS = ("yes", "no", "on", "off", "null", "_unknown_")
HEADER = "path,label\n"
SCORE_COLUMNS = tuple(f"score_{label}" for label in LABELS)
SCORE_HEADER = f"path,label,{','.join(SCORE_COLUMNS)}\n"


def _rows(line: Callable[[int, str], str] = lambda row, clip_id: f"{clip_id},{LABELS[row % 6]}") -> str:
    return "".join(line(row, clip_id) + "\n" for row, clip_id in enumerate(IDS))


def _scored(row: int, clip_id: str) -> str:
    return f"{clip_id},{LABELS[row % 6]}," + ",".join(f"{0.1 * column + row}" for column in range(len(LABELS)))


def _changed(line: int, to: str, source: str = HEADER + _rows()) -> str:
    """A file with one line exchanged; the header is line 1."""
    lines = source.splitlines(keepends=True)
    lines[line - 1] = to + "\n"
    return "".join(lines)


def _read(folder: Path, content: str | bytes) -> Predictions:
    path = folder / "preds.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_predictions(path, pl.Series("path", IDS), LABELS, "path")


def _problems(folder: Path, content: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        _read(folder, content)
    return caught.value


GOOD = {
    "plain": HEADER + _rows(),
    "no newline at the end": (HEADER + _rows()).removesuffix("\n"),
    "BOM": "\ufeff" + HEADER + _rows(),
    "CRLF": (HEADER + _rows()).replace("\n", "\r\n"),
    "BOM and CRLF": "\ufeff" + (HEADER + _rows()).replace("\n", "\r\n"),
    "CRLF written in text mode on Windows": (HEADER + _rows()).replace("\n", "\r\r\n"),
    "reordered": HEADER + "".join(reversed(_rows().splitlines(keepends=True))),
    "columns swapped": "label,path\n" + _rows(lambda row, clip_id: f"{LABELS[row % 6]},{clip_id}"),
    "quoted text": HEADER + _rows(lambda row, clip_id: f'"{clip_id}","{LABELS[row % 6]}"'),
    "quoted header": '"path","label"\n' + _rows(),
    "some quoted": _changed(3, '"no/b.wav",no'),
}


@pytest.mark.parametrize("kind", GOOD)
def test_good_files_are_read_in_the_order_of_the_clips(tmp_path: Path, kind: str) -> None:
    """UTF-8 with LF or CRLF, with or without BOM and quotes, in any order of rows and columns, is read alike."""
    found = _read(tmp_path, GOOD[kind])
    assert found.predicted.tolist() == [row % 6 for row in range(len(IDS))]
    assert found.scores is None


@pytest.mark.parametrize("quote", ["", '"'], ids=["plain", "quoted"])
def test_scores_go_with_their_clips(tmp_path: Path, quote: str) -> None:
    """Scores come in the order of the labels and of the clips, whatever the order in the file."""
    header = f"path,label,{','.join(reversed(SCORE_COLUMNS))}\n"
    lines = []
    for row, clip_id in enumerate(IDS):
        scores = [repr(10.0 * row + column) for column in range(len(LABELS))]
        lines.append(f"{quote}{clip_id}{quote},{LABELS[row % 6]}," + ",".join(reversed(scores)) + "\n")
    found = _read(tmp_path, header + "".join(reversed(lines)))
    expected = np.arange(len(IDS)) * 10.0
    assert found.scores is not None
    for column, scores in enumerate(found.scores):
        np.testing.assert_array_equal(scores, expected + column)


@pytest.mark.parametrize(
    "text", ["1", "+1", "1.", "1e0", "10E-1", " 1", "1 ", "\t1", "01", "1.000000000000000000000001"]
)
def test_numbers_may_be_written_in_any_way(tmp_path: Path, text: str) -> None:
    """Whatever is clearly a number is read as one; spaces around it do not matter."""
    found = _read(tmp_path, SCORE_HEADER + _rows(lambda _, clip_id: f"{clip_id},yes,{text}" + ",0" * 5))
    assert found.scores is not None
    assert found.scores[0].tolist() == [1.0] * len(IDS)


# What is wrong with a file: its content, and for each message a part of what it must say, in order.
BAD: dict[str, tuple[str | bytes, Sequence[str]]] = {
    "no header": (_rows(), ["line 1: found the columns yes/a.wav, yes", "the first line must be path,label"]),
    "wrong header": ("file,prediction\n" + _rows(), ["line 1", "the first line must be path,label"]),
    "header in another case": ("Path,Label\n" + _rows(), ["did you mean 'path'?", "did you mean 'label'?"]),
    "header with a space": ("path, label\n" + _rows(), ["unknown column ' label'", "did you mean 'label'?"]),
    "header missing id": ("label\n" + _rows(lambda *_: "yes"), ["also the column path"]),
    "empty first line": ("\n" + HEADER + _rows(), ["line 1: found an empty line"]),
    "header only": (HEADER, ["line 1: found a header and no rows, expected one row per clip"]),
    "unclosed header": ('"path,label\n' + _rows(), ["line 1: found a quote that is never closed"]),
    "one row short": (HEADER + _rows().replace("nan,on\n", ""), ["found no row for path 'nan', expected one row per clip; add the row"]),
    "duplicate": (HEADER + _rows() + "007,yes\n", ["line 12: found path '007' again (first on line 7)", "remove one"]),
    "unknown id": (HEADER + _rows() + "x.wav,yes\n", ["line 12: found path 'x.wav'", "another split or data set?"]),
    "id with spaces": (_changed(7, " 007,yes"), ["line 7: found path ' 007'", "did you mean '007'?", "no row for"]),
    "id as a number": (_changed(7, "7,yes"), ["line 7: found path '7'", "no row for path '007'"]),
    "id as a float": (_changed(7, "007.0,yes"), ["line 7: found path '007.0'", "did you mean '007'?"]),
    "backslashes": (_changed(2, "yes\\a.wav,yes"), ["line 2", "did you mean 'yes/a.wav'?"]),
    "empty id": (_changed(7, ",yes"), ["line 7: found path ''", "no row for path '007'"]),
    "label in another case": (_changed(5, "1641e121,Off"), ["line 5: found label 'Off'", "did you mean 'off'?"]),
    "label in another language": (_changed(5, "1641e121,да"), ["line 5: found label 'да', expected one of yes, no, on"]),
    "label with a space": (_changed(5, "1641e121,off "), ["line 5: found label 'off '", "did you mean 'off'?"]),
    "no label": (_changed(5, "1641e121,"), ["line 5: found label ''"]),
    "empty": (b"", ["preds.csv is empty", "0 bytes"]),
    "white space": ("\n \n", ["preds.csv is empty", "a header and one row per clip"]),
    "UTF-16": ((HEADER + _rows()).encode("utf-16"), ["UTF-16", "save it as UTF-8"]),
    "UTF-16 without BOM": ((HEADER + _rows()).encode("utf-16-le"), ["UTF-16", "save it as UTF-8"]),
    "UTF-16 BE without BOM": ((HEADER + _rows()).encode("utf-16-be"), ["UTF-16", "save it as UTF-8"]),
    "Latin-1": (_changed(5, "1641e121,\xf1").encode("latin-1"), ["line 5: found bytes that are not UTF-8 text (b'\\xf1')"]),
    "Latin-1 header": ("p\xe9th,label\n".encode("latin-1"), ["not UTF-8", "save it as UTF-8"]),
    "semicolons": ((HEADER + _rows()).replace(",", ";"), ["separated by semicolons; save it with commas"]),
    "tabs": ((HEADER + _rows()).replace(",", "\t"), ["separated by tabs; save it with commas"]),
    "CR alone": ((HEADER + _rows()).replace("\n", "\r"), ["CR alone", "save it with LF or CRLF"]),
    "one CR": (_changed(5, "1641e121,o\rff"), ["line 5: found a carriage return inside of the line"]),
    "one CR in quotes": (_changed(5, '"1641e121",o\rff'), ["line 5: found a carriage return inside of the line"]),
    "empty line": (_changed(4, "\n00176480,on"), ["line 4: found an empty line", "remove it"]),
    "empty lines at the end": (HEADER + _rows() + "\n\n", ["line 12: found an empty line", "line 13: found an empty line"]),
    "spaces in a line": (HEADER + _rows() + "  \n", ["line 12: found 1 field, expected 2 fields"]),
    "field too many": (_changed(4, "00176480,on,yes"), ["line 4: found 3 fields, expected 2 fields as in the header"]),
    "field too few": (_changed(4, "00176480"), ["line 4: found 1 field, expected 2 fields as in the header"]),
    "field too many at the end": (HEADER + _rows().rstrip("\n") + ",", ["line 11: found 3 fields"]),
    "comma in a field": (_changed(4, "a,b,on"), ["line 4: found 3 fields", 'put the field in "quotes"']),
    "unclosed quote": (_changed(4, '"00176480,on'), ["line 4: found a quote that is never closed"]),
    "text after a quote": (_changed(4, '"00176480"x,on'), ["line 4: found text after a closing quote", "no row for"]),
    "unclosed quote at the end": (_changed(11, 'on,"off'), ["line 11: found a quote that is never closed"]),
    "newline in quotes": (_changed(4, '"00176480\n",on') + "x,on\n", ["line 4: found path '00176480\\n'", "line 13"]),
    "quotes inside of a field": (_changed(4, '00"176480,on'), ["line 4: found path '00\"176480'", "no row for"]),
    "BOM in the second line": (_changed(2, "\ufeffyes/a.wav,yes"), ["line 2: found path '\\ufeffyes/a.wav'", "no row for"]),
    "one letter": ("x", ["line 1: found the column x", "the first line must be path,label"]),
    "binary": (bytes(range(256)) * 20, ["not a CSV"]),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", ["binary file, not a CSV"]),
    "WAV": (b"RIFF\x24\x08\0\0WAVEfmt \x10", ["binary file, not a CSV"]),
    "gzip": (b"\x1f\x8b\x08\x08\x01\x02\x03", ["binary file, not a CSV"]),
    "NUL": (_changed(6, "1e\x005,null"), ["line 6: found NUL bytes", "write it again"]),
    "first line without end": (b"a" * (1 << 20) + b"\n", ["its first line is longer than 1,048,576 bytes"]),
    "long field": (_changed(6, "1e5," + "x" * 1000), ["line 6: found label 'xxx", "…', expected one of"]),
    "very long field": (_changed(6, "1e5," + "x" * 300_000), ["line 6: found a field of very many characters"]),
    "very long quoted field": (_changed(6, '1e5,"' + "x" * 300_000 + '"'), ["line 6: found a field of very many"]),
    "unclosed quote in a long file": (_changed(4, '"00176480,on') + "x,on\n" * 50_000, ["line 4: found a field", "closed?"]),
    "extra column": ("path,label,p\n" + _rows(lambda _, i: f"{i},yes,1"), ["line 1: found the unknown column 'p'", "remove"]),
    "duplicate column": ("path,label,label\n" + _rows(lambda _, i: f"{i},no,no"), ["the column 'label' 2 times"]),
    "score for an unknown label": (
        "path,label,score_maybe\n" + _rows(lambda _, clip_id: f"{clip_id},yes,0.5"),
        ["also the columns score_yes, score_no", "the unknown column 'score_maybe'"],
    ),
    "scores for some labels": (
        "path,label,score_yes,score_no\n" + _rows(lambda _, clip_id: f"{clip_id},yes,1,0"),
        ["line 1", "also the columns score_on, score_off, score_null, score__unknown_"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_say_what_is_wrong_where(tmp_path: Path, kind: str) -> None:
    """Each kind of bad file ends in one error that names the file, the line, what was found and what was expected."""
    content, expected = BAD[kind]
    message = str(_problems(tmp_path, content))
    assert "preds.csv" in message.splitlines()[0]
    place = 0
    for part in expected:
        assert part in message[place:], message
        place = message.index(part, place)


ONE_PROBLEM = [
    "no header", "header only", "one row short", "duplicate", "unknown id", "label in another case", "no label",
    "Latin-1", "one CR", "empty line", "field too many", "field too few", "unclosed quote", "unclosed quote at the end", "NUL", "extra column",
    "duplicate column", "long field",
]  # fmt: skip


@pytest.mark.parametrize("kind", ONE_PROBLEM)
def test_one_mistake_is_one_problem(tmp_path: Path, kind: str) -> None:
    """A single mistake is reported once, not again as what follows from it."""
    assert len(_problems(tmp_path, BAD[kind][0]).problems) == 1


@pytest.mark.parametrize(
    "text", ["", "nan", "NaN", "inf", "-inf", "infinity", "1e400", "abc", "1_000", "0x1", "null", "1 2", "--1", "٣", "\xa01"]
)  # fmt: skip
@pytest.mark.parametrize("quote", ["", '"'], ids=["plain", "quoted"])
def test_scores_are_finite_numbers(tmp_path: Path, text: str, quote: str) -> None:
    """A score that is no finite number in ASCII digits is an error that names its line and its column."""
    content = _changed(5, f"1641e121,yes,0,{quote}{text}{quote},0,0,0,0", SCORE_HEADER + _rows(_scored))
    error = _problems(tmp_path, content)
    assert len(error.problems) == 1
    assert str(error.problems[0]).startswith(f"{tmp_path / 'preds.csv'}, line 5: found ")
    assert "score_no" in error.problems[0].found
    assert error.problems[0].expected == "a finite number"


def test_a_decimal_comma_is_explained(tmp_path: Path) -> None:
    """A quoted number with a comma gets the advice to write a dot."""
    content = _changed(5, '1641e121,yes,0,"1,5",0,0,0,0', SCORE_HEADER + _rows(_scored))
    assert _problems(tmp_path, content).problems[0].remedy == "write decimals with a dot"


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    """One error holds every kind of problem of a file, the header's too, with the right line numbers."""
    content = "path,label,extra\nyes/a.wav,Yes,1\n\nno/b.wav,no,1\nno/b.wav,no,1\nx.wav,no,1\nnull,no\n"
    places = [
        (problem.where.rpartition("line ")[2], problem.found) for problem in _problems(tmp_path, content).problems
    ]
    assert ("1", "the unknown column 'extra'") in places
    assert ("2", "label 'Yes'") in places
    assert ("3", "an empty line") in places
    assert ("5", "path 'no/b.wav' again (first on line 4)") in places
    assert ("6", "path 'x.wav'") in places
    assert ("7", "2 fields") in places
    missing = [found for where, found in places if where.endswith("preds.csv")]
    assert len(missing) == 5
    assert "no row for path '00176480'" in missing


def test_line_numbers_count_lines_inside_of_quotes(tmp_path: Path) -> None:
    """After a field with newlines in it the numbers still are those of the file's lines."""
    path = tmp_path / "preds.csv"
    path.write_text('path,label\n"a\n\nb",yes\nc,maybe\n"d\n",maybe\n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_predictions(path, pl.Series(["a\n\nb", "c", "d\n"]), ["yes", "no"], "path")
    assert [problem.where for problem in caught.value.problems] == [f"{path}, line 5", f"{path}, line 6"]


def test_many_problems_are_counted_not_listed(tmp_path: Path) -> None:
    """Of each kind a few are shown; the last one says how many more there are."""
    path = tmp_path / "preds.csv"
    path.write_text("path,label\n" + "".join(f"{row},YES\n" for row in range(1000)), encoding="utf-8")
    with pytest.raises(InputError, match="has 1,000 problems") as caught:
        read_predictions(path, pl.Series([str(row) for row in range(1000)]), ["yes", "no"], "path")
    assert len(caught.value.problems) == 5
    assert caught.value.problems[-1].count == 996


def test_far_too_many_rows_end_early_in_one_message(tmp_path: Path) -> None:
    """A file of another size is told so by its number of rows; the rest of it is not looked at."""
    path = tmp_path / "preds.csv"
    path.write_text(HEADER + "".join(f"clip{row},maybe\n" for row in range(200_000)), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_predictions(path, pl.Series([f"clip{row}" for row in range(5000)]), LABELS, "path")
    excess = caught.value.problems[0]
    assert (excess.found, excess.expected) == ("about 200,000 rows", "5,000 rows, one per clip")
    assert "line 110,001 on" in excess.remedy
    assert not any("no row for" in problem.found for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("name", "reason"), [("folder", "is a directory"), ("none.csv", "no such file"), ("pipe", "regular file")]
)
def test_what_is_no_file_is_said_so(tmp_path: Path, name: str, reason: str) -> None:
    """A folder, a missing file and a pipe end in a message, and none of them blocks."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=reason):
        read_predictions(tmp_path / name, pl.Series(IDS), LABELS, "path")


def test_without_permission_there_is_a_message(tmp_path: Path) -> None:
    """A file that may not be read ends in a message."""
    path = tmp_path / "preds.csv"
    path.write_text(HEADER + _rows(), encoding="utf-8")
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="permission denied"):
            read_header(path)
    finally:
        os.seteuid(user)


def test_ids_that_appear_twice_among_the_clips_are_refused(tmp_path: Path) -> None:
    """Clips without unique ids cannot be scored, and the message says so."""
    path = tmp_path / "preds.csv"
    path.write_text("path,label\na,yes\n", encoding="utf-8")
    with pytest.raises(InputError, match="not unique"):
        read_predictions(path, pl.Series(["a", "a"]), ["yes"], "path")


def test_many_labels_are_not_listed(tmp_path: Path) -> None:
    """With hundreds of labels the message counts them."""
    path = tmp_path / "preds.csv"
    path.write_text("path,label\na,x\n", encoding="utf-8")
    with pytest.raises(InputError, match="one of the 500 labels"):
        read_predictions(path, pl.Series(["a"]), [f"word{number}" for number in range(500)], "path")


# --- A naive reader, and files that are nearly right


def _naive_predictions(content: bytes, ids: Sequence[str], labels: Sequence[str]) -> dict[str, list[str]] | None:
    """The rows by id where the file is fine, else None; slow, and without polars."""
    try:
        lines = io.StringIO(content.decode("utf-8-sig"), newline="\n")
        header, *table = list(csv.reader(lines, strict=True))
    except (UnicodeDecodeError, ValueError, csv.Error):
        return None
    columns = ["path", "label", *(f"score_{label}" for label in labels)]
    if sorted(header) not in (sorted(columns), ["label", "path"]) or b"\0" in content:
        return None
    if any(len(row) != len(header) for row in table):
        return None
    records = [dict(zip(header, row, strict=True)) for row in table]
    numbers = [text for record in records for name, text in record.items() if name.startswith("score_")]
    fine = (
        sorted(record["path"] for record in records) == sorted(ids)
        and all(record["label"] in labels for record in records)
        and all(_is_number(text) for text in numbers)
    )
    return (
        {record["path"]: [record[name] for name in columns if name in record] for record in records} if fine else None
    )


def _is_number(text: str) -> bool:
    plain = text.strip(" \t")
    if not plain or "_" in plain or plain != plain.strip() or not plain.isascii():
        return False
    try:
        return math.isfinite(float(plain))
    except ValueError:
        return False


FEW_IDS = ("a", "b/c.wav", "007", "nan")
FEW_LABELS = ("yes", "_no_")
FILES = [
    b"path,label\na,yes\nb/c.wav,_no_\n007,yes\nnan,yes\n",
    b"path,label,score_yes,score__no_\na,yes,0.5,1e-3\nb/c.wav,_no_,-1,2\n007,yes,3.25,.5\nnan,yes,0,0\n",
    b'"path","label"\r\n"a","yes"\r\n"b/c.wav","_no_"\r\n"007","yes"\r\n"nan","yes"\r\n',
    b'score__no_,path,score_yes,label\n1,a,2,yes\n3,"b/c.wav",4,_no_\n 5,007,6,yes\n7,nan,8,yes',
]
PIECES = [
    b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\r\r\n", b" ", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"+", b"-", b"_", b"e",
    b".", b"0", b"1", b"1e400", b"nan", b"inf", b"0x1", b"1_0", b"a", b"yes", b"007", b"path", b"label", b"\n\n", b";", b"#",
    b"\x1c", b"\x0b", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xd9\xa1", b"a,yes\n", b'"a",yes\n', b",0.5",
]  # fmt: skip
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.sampled_from(PIECES)), max_size=4)


def _outcome(path: Path) -> Predictions | InputError:
    try:
        return read_predictions(path, pl.Series(FEW_IDS), FEW_LABELS, "path")
    except InputError as error:
        return error


def _edited(content: bytes, edits: Sequence[tuple[float, int, bytes]]) -> bytes:
    for place, cut, piece in edits:
        start = round(place * len(content))
        content = content[:start] + piece + content[start + cut :]
    return content


@PROPERTY
@given(st.sampled_from(FILES), EDITS)
def test_files_are_read_as_by_a_naive_reader_or_refused(
    tmp_path: Path, content: bytes, edits: list[tuple[float, int, bytes]]
) -> None:
    """A nearly right file gives what Python's csv module gives, or an error with a problem; never anything else."""
    content = _edited(content, edits)
    path = tmp_path / "preds.csv"
    path.write_bytes(content)
    expected = _naive_predictions(content, FEW_IDS, FEW_LABELS)
    found = _outcome(path)
    assert isinstance(found, InputError) == (expected is None), f"{content!r} gave {found}"
    if isinstance(found, InputError) or expected is None:
        assert str(path) in str(found)
        return
    assert [FEW_LABELS[code] for code in found.predicted] == [expected[clip_id][1] for clip_id in FEW_IDS]
    scores = [] if found.scores is None else [column.tolist() for column in found.scores]
    assert scores == [[float(expected[i][column]) for i in FEW_IDS] for column in range(2, len(expected["a"]))]


@PROPERTY
@given(st.sampled_from(FILES), EDITS)
def test_the_fast_path_accepts_nothing_that_the_slow_one_refuses(
    tmp_path: Path, content: bytes, edits: list[tuple[float, int, bytes]]
) -> None:
    """Where the fast path gives predictions, the slow one gives the same; where it gives none, nothing is lost."""
    path = tmp_path / "preds.csv"
    path.write_bytes(_edited(content, edits))
    rules = TableRules("path", FEW_LABELS, with_scores=True, ids=pl.Series(FEW_IDS))
    try:
        table = predictions_module._read_fast(path, rules)
    except InputError:
        return
    fast = None if table is None else predictions_module._predictions(table, rules, pl.Series(FEW_IDS))
    if fast is not None:
        slow = predictions_module._predictions(read_slowly(path, rules), rules, pl.Series(FEW_IDS))
        assert slow is not None
        np.testing.assert_array_equal(fast.predicted, slow.predicted)
        assert (fast.scores is None) == (slow.scores is None)
        for one, other in zip(fast.scores or (), slow.scores or (), strict=True):
            np.testing.assert_array_equal(one, other)


PLAIN = {
    "BOM": "\ufeff" + SCORE_HEADER + _rows(_scored),
    "CRLF": (HEADER + _rows()).replace("\n", "\r\n"),
    "quoted text": GOOD["quoted text"],
    "quoted text, CRLF": ('"path","label"\n' + _rows(lambda _, clip_id: f'"{clip_id}","yes"')).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_the_fast_path_is_taken_for_plain_files(tmp_path: Path, kind: str) -> None:
    """LF and CRLF files, with or without BOM and quotes around text, are read by polars alone."""
    rules = TableRules("path", LABELS, with_scores=True, ids=pl.Series(IDS))
    path = tmp_path / "preds.csv"
    path.write_bytes(PLAIN[kind].encode())
    table = predictions_module._read_fast(path, rules)
    assert table is not None
    assert predictions_module._predictions(table, rules, pl.Series(IDS)) is not None


@PROPERTY
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_floats_are_read_exactly(tmp_path: Path, values: list[float]) -> None:
    """Every float that is written with all of its digits is read back bit for bit."""
    path = tmp_path / "preds.csv"
    ids = [f"clip{row}" for row in range(len(values))]
    lines = [f"{clip_id},yes,{value!r}\n" for clip_id, value in zip(ids, values, strict=True)]
    path.write_text("path,label,score_yes\n" + "".join(lines), encoding="utf-8")
    found = read_predictions(path, pl.Series(ids), ["yes"], "path")
    assert found.scores is not None
    assert [value.hex() for value in found.scores[0].tolist()] == [value.hex() for value in values]


# --- Writing


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@PROPERTY
@given(st.lists(NAMES, min_size=1, max_size=6, unique=True), st.integers(0, 1000))
def test_what_is_written_is_read_back(tmp_path: Path, ids: list[str], seed: int) -> None:
    """Predictions with any names that a file can have survive writing and reading, scores to seven decimals."""
    generator = np.random.default_rng(seed)
    scores = {label: generator.normal(size=len(ids)) for label in FEW_LABELS}
    predicted = [FEW_LABELS[row % 2] for row in range(len(ids))]
    path = tmp_path / "preds.csv"
    write_predictions(path, pl.Series("path", ids), predicted, scores)
    found = read_predictions(path, pl.Series(ids), FEW_LABELS, "path")
    assert [FEW_LABELS[code] for code in found.predicted] == predicted
    assert found.scores is not None
    for column, written in zip(found.scores, scores.values(), strict=True):
        np.testing.assert_array_equal(column, np.round(written, 7))


def test_written_predictions_look_as_designed(tmp_path: Path) -> None:
    """The header is the id column, `label` and a score per label; the same predictions give the same bytes."""
    path = tmp_path / "deep" / "preds.csv"
    for _ in range(2):
        write_predictions(path, pl.Series("index", ["1", "2"]), ["a", "b"], {"a": np.array([0.25, 1 / 3])})
        assert path.read_bytes() == b"index,label,score_a\n1,a,0.25\n2,b,0.3333333\n"
    assert sorted(path.parent.iterdir()) == [path]


# --- Truth tables


def _truth_problems(folder: Path, content: str, labels: Sequence[str] | None = None, **options: object) -> str:
    path = folder / "truth.csv"
    path.write_bytes(content.encode())
    settings = {"num_keywords": 1, "background": (), "id_column": None} | options
    with pytest.raises(InputError) as caught:
        read_truth(path, labels=labels, **settings)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_truth_gives_ids_labels_and_speakers(tmp_path: Path) -> None:
    """Without a manifest the labels are the table's: keywords first, then background, each in order of the alphabet."""
    path = tmp_path / "truth.csv"
    path.write_text("speaker_id,clip,label\n00176480,a,yes\n,b,_no_\n1e5,c,noise\n1e5,d,go\n", encoding="utf-8")
    truth, id_column = read_truth(path, labels=None, num_keywords=0, background=["noise"], id_column=None)
    assert id_column == "clip"
    assert (truth.labels, truth.num_keywords) == (("go", "yes", "_no_", "noise"), 2)
    assert truth.truth.tolist() == [1, 2, 3, 0]
    assert truth.clip_ids.to_list() == ["a", "b", "c", "d"]
    assert truth.speakers.to_list() == ["00176480", "", "1e5", "1e5"]


def test_a_truth_without_speakers_has_none(tmp_path: Path) -> None:
    """Without the column every speaker is unknown."""
    path = tmp_path / "truth.csv"
    path.write_text("path,label\na,yes\nb,no\n", encoding="utf-8")
    truth, _ = read_truth(path, labels=("no", "yes"), num_keywords=2, background=(), id_column="path")
    assert truth.speakers.to_list() == ["", ""]
    assert truth.truth.tolist() == [1, 0]


BAD_TRUTHS = {
    "twice": ("path,label\na,yes\na,yes\n", "line 3: found path 'a' again (first on line 2)"),
    "no id": ("path,label\na,yes\n,yes\n", "line 3: found no path"),
    "no label": ("path,label\na,yes\nb,\n", "line 3: found no label"),
    "spaces": ("path,label\na,yes\nb, yes\n", "line 3: found label ' yes', expected a label without spaces"),
    "separator": ("path,label\na,yes\nb,yes\x1c\n", "line 3: found label 'yes\\x1c'"),
    "NUL": ("path,label\na,yes\nb\0,yes\n", "line 3: found NUL bytes"),
    "CR": ("path,label\na,yes\nb\rc,yes\n", "line 3: found a carriage return"),
    "short line": ("path,label,speaker_id\na,yes,\nb,yes\n", "line 3: found 2 fields, expected 3 fields"),
    "long line": ("path,label,speaker_id\na,yes,\nb,yes,x,y\n", "line 3: found 4 fields, expected 3 fields"),
    "header only": ("path,label\n", "a header and no rows"),
    "no rows but one empty": ("path,label\n\n", "line 2: found an empty line"),
    "no id column": ("label,speaker_id\nyes,x\n", "0 columns that could be the id (none)"),
    "two id columns": ("path,index,label\na,1,yes\n", "2 columns that could be the id (path, index)"),
    "no header": ("a.wav,yes\nb.wav,no\n", "add this header"),
    "no label column": ("path\na\n", "also the column label"),
    "background only": ("path,label\na,_x_\n", "no keyword: all of its labels are background (_x_)"),
    "very long id": (f"path,label\na,yes\n{'x' * 300_000},yes\n", "line 3: found a field of very many characters"),
    "another column": ("path,label\n" + "".join(f"{row},{row}\n" for row in range(1001)), "1,001 different labels"),
}


@pytest.mark.parametrize("kind", BAD_TRUTHS)
def test_bad_truths_say_what_is_wrong_where(tmp_path: Path, kind: str) -> None:
    """Each kind of bad truth ends in one error that names the line, what was found and what was expected."""
    content, expected = BAD_TRUTHS[kind]
    assert expected in _truth_problems(tmp_path, content)


def test_unknown_background_is_named(tmp_path: Path) -> None:
    """A background label that the truth does not have is an error that lists those that it has."""
    message = _truth_problems(tmp_path, "path,label\na,yes\nb,_no_\n", background=["Yes", "maybe", "yes"])
    assert "--background Yes, maybe: no such label" in message
    assert "which has: _no_, yes" in message


def test_labels_of_a_manifest_are_the_only_ones(tmp_path: Path) -> None:
    """With given labels any other one is an error."""
    assert "found label 'no', expected one of yes" in _truth_problems(tmp_path, "path,label\na,no\n", labels=["yes"])


TRUTH_FILES = [
    b"path,label,speaker_id\na,yes,s1\nb,_no_,\nc,yes,s2\n",
    b"speaker_id,path,label\ns1,a,yes\n,b,_no_\n",
    b'path,label\n"a",yes\nb,"_no_"\n',
]


@PROPERTY
@given(st.sampled_from(TRUTH_FILES), EDITS)
def test_truths_are_read_as_by_a_naive_reader_or_refused(
    tmp_path: Path, content: bytes, edits: list[tuple[float, int, bytes]]
) -> None:
    """A nearly right truth gives what Python's csv module gives, or an InputError; never anything else."""
    content = _edited(content, edits)
    path = tmp_path / "truth.csv"
    path.write_bytes(content)
    try:
        truth, id_column = read_truth(path, labels=None, num_keywords=0, background=(), id_column=None)
    except InputError:
        return
    lines = io.StringIO(content.decode("utf-8-sig"), newline="\n")
    header, *table = list(csv.reader(lines, strict=True))
    assert b"\0" not in content
    assert all(len(row) == len(header) for row in table)
    records = [dict(zip(header, row, strict=True)) for row in table]
    assert truth.clip_ids.to_list() == [record[id_column] for record in records]
    assert len(set(truth.clip_ids)) == len(records)
    assert [truth.labels[code] for code in truth.truth] == [record["label"] for record in records]
    assert truth.speakers.to_list() == [record.get("speaker_id", "") for record in records]
    assert all(record["label"] == record["label"].strip() != "" for record in records)
