"""Facts are cited by anchors of the hardware pages, and every citation resolves."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = REPOSITORY / "docs" / "hardware"
CITATION = re.compile(
    r"\b(execution|encoding|limits|formats|arithmetic|runtimes|later|placement)\.md((?:(?:, | and |)#[\w-]+)+)"
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#([\w-]+)\)")
ANCHOR = re.compile(r"\{#([\w-]+)\}")
#: Citations of documents that readers of the repository cannot open.
CLOSED = re.compile(r"h13-(encoding|semantics)\b|compiler-facts|performance-facts|(formats|runtimes)( sheet)? \d")


def anchors(page: Path) -> set[str]:
    return set(ANCHOR.findall(page.read_text(encoding="utf-8")))


def sources() -> list[Path]:
    folders = ("src", "tests", "docs", "bench", "tools")
    return [
        path
        for folder in folders
        for path in sorted((REPOSITORY / folder).rglob("*.*"))
        if path.suffix in (".py", ".md")
    ]


def test_every_citation_has_its_anchor():
    cited = 0
    for path in sources():
        for page, cited_anchors in CITATION.findall(path.read_text(encoding="utf-8")):
            for anchor in re.findall(r"#([\w-]+)", cited_anchors):
                assert anchor in anchors(PAGES / f"{page}.md"), f"{path.name}: {page}.md#{anchor}"
                cited += 1
    assert cited > 30


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_links_between_the_pages_resolve(page):
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        linked = (page.parent / target).resolve() if target else page
        assert anchor in anchors(linked), f"{target}#{anchor}"


def test_nothing_cites_a_document_that_is_not_here():
    found = [
        path
        for path in sources()
        if path != Path(__file__).resolve() and CLOSED.search(path.read_text(encoding="utf-8"))
    ]
    assert not found
