"""The page for a browser: everything stands in it, nothing in it is from outside, and nothing hostile gets through."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kvformat.conform import document, html
from kvformat.conform.suite import Suite
from tests.kvformat.conform.running import ADAPTER, run_cases
from tests.kvformat.samples import PLAIN_NAME

HOSTILE = '"><script>alert(1)</script>\u202e\x1b[31m\x00\ud800</pre>'
VOID = {"meta", "br", "input", "link", "img"}
ENDED_BY = {"td": {"td", "th", "tr"}, "th": {"td", "th", "tr"}, "tr": {"tr"}}
"""Elements whose end tags may be left out, and what ends them beside the end of what they stand in."""


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text of each case."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cases: dict[str, str] = {}
        self.bodies: dict[str, list[str]] = {"style": [], "script": []}
        self._case = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        while self.stack and tag in ENDED_BY.get(self.stack[-1], ()):
            self.stack.pop()
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "details" and found.get("class") == "case":
            self._case = found["id"] or ""
            self.cases[self._case] = ""

    def handle_endtag(self, tag: str) -> None:
        while tag != self.stack[-1] and self.stack[-1] in ENDED_BY:
            self.stack.pop()
        assert self.stack.pop() == tag, "every element is closed where it was opened"

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] in self.bodies:
            self.bodies[self.stack[-1]].append(data)
        elif self._case:
            self.cases[self._case] += data

    def attributes(self, tag: str, name: str) -> list[str | None]:
        return [found[name] for one, found in self.elements if one == tag and name in found]


@pytest.fixture(scope="module")
def report(suite: Suite) -> dict[str, Any]:
    done = run_cases(suite, ADAPTER)
    return document.document(done, document.Setting(suite, ADAPTER))


def failing(report: dict[str, Any], case_id: str, **changes: Any) -> dict[str, Any]:
    """The report as if the adapter had answered one case otherwise; JSON has no aliases."""
    other: dict[str, Any] = json.loads(json.dumps(report))
    case = next(one for one in other["cases"] if one["id"] == case_id)
    case.update({"verdict": "failed", **changes})
    return other


def test_every_case_stands_in_it_with_its_bytes_and_how_to_repeat_it(suite: Suite, report: dict[str, Any]) -> None:
    page = Page(html.page([report], suite))
    assert not page.stack
    assert set(page.cases) == set(suite.cases)
    for case in report["cases"]:
        assert case["repeat"] in page.cases[case["id"]]
        assert case["comment"] in page.cases[case["id"]]
    magic = page.cases["read-magic"]
    assert "4b 56 44" in magic
    assert suite.clauses["KVC-HEADER-1"].sentence.replace("`", "") in magic
    assert "What must be rejected." in magic
    assert "Damage is used." in magic
    assert "… 5,368,709,0" in page.cases["read-sparse"]


def test_what_a_rejection_is_about_is_framed(suite: Suite, report: dict[str, Any]) -> None:
    text = html.page([report], suite)
    magic = text[text.index('id="read-magic"') :]
    assert '<b title="header.magic">4b 56 44</b>' in magic[: magic.index("</pre>")]


def test_what_an_update_changes_is_framed(suite: Suite, report: dict[str, Any]) -> None:
    text = html.page([report], suite)
    touch = text[text.index('id="touch-counts"') :]
    touch = touch[touch.index("the file expected afterwards") :]
    framed = re.findall(r'<b title="([^"]*)"', touch[: touch.index("</pre>")])
    assert framed == ["header.hits", "header.last_used"]


def test_answers_that_differ_stand_beside_the_expected_ones(suite: Suite, report: dict[str, Any]) -> None:
    case = next(one for one in report["cases"] if one["id"] == "read-plain")
    view = {**case["got"]["view"], "header": {**case["got"]["view"]["header"], "tokens": "31415926"}}
    detail = ['header.tokens: "31415926", expected "2"']
    other = failing(report, "read-plain", got={"result": "accept", "view": view}, detail=detail)
    text = html.page([report, other], suite)
    body = text[text.index('id="read-plain"') :]
    assert '<td class="differs">31415926\n' in body
    assert body.index("header.tokens") < body.index("more, as expected")
    assert 'title="header.tokens">02 00 00 00' in body
    assert '<b title="header.tokens"' in body[: body.index("</pre>")]
    page = Page(text)
    verdicts = dict(zip(page.attributes("details", "id"), page.attributes("details", "data-verdicts"), strict=False))
    assert verdicts["read-plain"] == "passed failed"
    labels = re.findall(r'<tr><th scope="row">(kvformat [^<]*)</th>', text)
    assert labels[1] == f"{labels[0]} (2)"


def test_the_matrix_counts_by_the_clause_that_decides(suite: Suite, report: dict[str, Any]) -> None:
    other = failing(report, "read-cut", got={"result": "accept", "view": {}}, detail=["accepted, expected reject"])
    text = html.page([report, other], suite)
    row = text[text.index('data-clause="KVC-FILE-3"') :]
    assert re.findall(r"(\d+/\d+)", row[: row.index("</tr>")]) == ["2/2", "1/2"]


def test_nothing_hostile_gets_through(suite: Suite, report: dict[str, Any]) -> None:
    hostile = failing(
        report,
        "read-magic",
        detail=[HOSTILE],
        known=HOSTILE,
        stderr=HOSTILE * 3,
        repeat=HOSTILE,
        got={"result": "reject", "category": HOSTILE, "field": HOSTILE, "message": HOSTILE},
    )
    adapter = {"implementation": HOSTILE, "version": HOSTILE, "language": HOSTILE, "operations": [HOSTILE]}
    hostile["adapter"] |= {**adapter, "behaviours": {HOSTILE: HOSTILE}}
    text = html.page([hostile, hostile], suite)
    text.encode("utf-8")
    assert not set(text) & {"\u202e", "\x1b", "\x00", "\ud800"}
    page = Page(text)
    assert not page.stack
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "alert" not in "".join(page.bodies["script"])
    assert "<script>alert(1)" in page.cases["read-magic"]


def test_the_browser_is_told_to_load_and_run_nothing_else(suite: Suite, report: dict[str, Any]) -> None:
    text = html.page([report], suite)
    page = Page(text)
    assert not [found for _, found in page.elements if "src" in found or any(key.startswith("on") for key in found)]
    assert all((link or "").startswith("#") for link in page.attributes("a", "href"))
    assert not re.search(r"https?://|url\(|@import", text)
    (policy,) = (found["content"] for _, found in page.elements if found.get("http-equiv"))
    assert policy is not None
    for kind in ("style", "script"):
        digest = hashlib.sha256("".join(page.bodies[kind]).encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert policy.startswith("default-src 'none'")


def test_names_that_are_no_text_are_shown_escaped(suite: Suite, report: dict[str, Any]) -> None:
    page = Page(html.page([report], suite))
    assert "odd%FF%0A%25" in page.cases["list-mixed"]
    assert "a symlink to %FFnowhere%0A" in page.cases["read-symlink"]
    assert f"called {PLAIN_NAME}" in page.cases["read-symlink"]


def test_what_can_be_scrolled_or_pressed_can_be_reached_by_keyboard(suite: Suite, report: dict[str, Any]) -> None:
    page = Page(html.page([report], suite))
    scrolled = [found for tag, found in page.elements if tag == "pre" or "scroll" in (found.get("class") or "")]
    assert scrolled
    assert all(found.get("tabindex") == "0" for found in scrolled)
    assert not [found for tag, found in page.elements if tag in ("div", "span") and "onclick" in found]
    assert page.attributes("html", "lang") == ["en"]


def test_a_report_of_some_cases_shows_these_alone(suite: Suite, report: dict[str, Any], tmp_path: Path) -> None:
    other: dict[str, Any] = json.loads(json.dumps(report))
    other["cases"] = [case for case in other["cases"] if case["id"] in ("read-cut", "read-magic")]
    html.write([other], suite, tmp_path / "page.html")
    assert set(Page((tmp_path / "page.html").read_text("utf-8")).cases) == {"read-cut", "read-magic"}
    both = Page(html.page([report, other], suite))
    assert set(both.cases) == set(suite.cases)
    assert "not-run" in both.cases["read-plain"]


def test_cases_that_the_suite_does_not_have_are_counted(suite: Suite, report: dict[str, Any]) -> None:
    other: dict[str, Any] = json.loads(json.dumps(report))
    other["cases"].append({**other["cases"][0], "id": "read-elsewhere"})
    assert "1 case of the reports is not in this suite" in html.page([other], suite)


def test_a_case_is_cheap(suite: Suite, report: dict[str, Any]) -> None:
    """A suite has a thousand: what a browser adds by itself, and what is the rule, is not written."""
    text = html.page([report], suite)
    page = Page(text)
    pieces = [found for tag, found in page.elements if tag in ("i", "b") and "title" in found]
    assert len(pieces) > 100
    assert {found.get("class") for found in pieces if (found["title"] or "").startswith("header.")} == {None}
    assert "</td>" not in text[text.index('<main id="cases"') :]
    assert len(text[text.index('<main id="cases"') :].encode()) / len(suite.cases) < 6_000
