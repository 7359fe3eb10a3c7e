"""A report as a page: its order, its bounds, and that what others named cannot become markup."""

from __future__ import annotations

import base64
import hashlib
import re

from emotions.files.html.report import MAX_ROWS, Matrix, Part, Recording, Recordings, Report, Section, Table, html
from tests.pages import text_of

EVIL = "</title><script>x</script>\"'&"


def page(*parts: Part, **changes: object) -> str:
    values: dict[str, object] = {"kind": "Evaluation", "name": "mine", "conclusion": ["It is good."], "pictures": []}
    values |= {"figures": [Section("", parts)], "method": ["protocol: LOSO"], "facts": {"data": "calls"}}
    return html(Report(**{**values, **changes}))  # type: ignore[arg-type]


def test_the_conclusion_comes_first_and_the_terms_last() -> None:
    told = text_of(page(Table("All", ["UAR"], [["0.9"]]), command="emotions evaluate"))
    order = [
        "It is good.",
        "Figures",
        "0.9",
        "Method",
        "Protocol: LOSO",
        "calls",
        "emotions evaluate",
        "Terms",
        "Leave",
    ]
    places = [told.index(each) for each in order]
    assert places == sorted(places)


def test_what_others_named_is_escaped_everywhere() -> None:
    parts: list[Part] = [
        Table(EVIL, ["a", EVIL], [[EVIL, 1]], [EVIL]),
        Matrix(EVIL, [EVIL, "b"], [[1, 0], [0, 1]]),
        Recordings("r", ["recording"], [Recording([EVIL], EVIL, [[0, 1, 1]])], labels=[EVIL]),
        EVIL,
    ]
    content = page(*parts, name=EVIL, conclusion=[EVIL], facts={EVIL: EVIL}, command=EVIL, warnings=[EVIL])
    assert content.count("<script") == 1  # the page's own
    assert content.count("</title>") == 1


def test_a_recording_that_is_played_is_drawn_over_time_by_the_only_script_that_may_run() -> None:
    steps = [[0, 1.5, 0.2, 0.8], [1.5, 2, 0.9, 0.1]]
    rows = [Recording(["a"], "a.wav", steps), Recording(["b"], "b.wav"), Recording(["c"], "", steps)]
    content = page(Recordings("Wrong", ["recording"], rows, labels=["sad", "glad"]))
    assert content.count("<canvas") == content.count("data-steps=") == 1
    assert 'data-steps="[[0, 1.5, 0.2, 0.8], [1.5, 2, 0.9, 0.1]]"' in content
    assert 'aria-label="0 to 1.5 s glad 80%, 1.5 to 2 s sad 90%"' in content
    (script,) = re.findall('<script type="module">(.*?)</script>', content, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in content
    assert "default-src 'none'" in content


def test_a_long_recording_is_told_in_few_words() -> None:
    part = Recordings("Wrong", ["recording"], [], labels=["sad", "glad"])
    told = part.told([[at, at + 1, 0.4, 0.6] for at in range(500)])
    assert told.startswith("0 to 1 s glad 60%, 1 to 2 s")
    assert told.endswith(", and 480 more")


def test_a_page_on_which_nothing_is_drawn_over_time_has_no_script() -> None:
    rows = [Recording(["a"], "a.wav"), Recording(["c"], "", [[0, 1, 1]])]
    content = page(Recordings("Wrong", ["recording"], rows, labels=["sad"]))
    assert "<script" not in content
    assert "<canvas" not in content


def test_a_long_table_shows_its_first_rows_and_says_so() -> None:
    content = page(Table("All", ["n"], [[f"row {n}"] for n in range(MAX_ROWS + 7)]))
    assert f"row {MAX_ROWS - 1}<" in content
    assert f"row {MAX_ROWS}<" not in content
    assert "7 more rows" in content


def test_figures_stand_on_the_right_and_words_on_the_left() -> None:
    table = Table("All", ["name", "figure"], [["angry", "0.9 (0.8-1.0)"], ["2 dogs", "–"], ["sad", ""]])
    assert [table.is_number(column) for column in (0, 1)] == [False, True]


def test_of_many_classes_those_with_most_errors_are_shown() -> None:
    counts = [[5 * (row == column) for column in range(50)] for row in range(50)]
    counts[40][41] = 9
    matrix = Matrix("m", [f"class {n}" for n in range(50)], counts)
    assert {40, 41} <= {*matrix.at}
    assert len(matrix.at) == 20
    assert matrix.share(40, 41) == 9 / 14
    assert Matrix("m", ["a"], [[0]]).share(0, 0) == 0
