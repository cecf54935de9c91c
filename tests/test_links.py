"""The pages of the repository: every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HIDDEN = ("outputs", "build", "dist")
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in HIDDEN for part in page.relative_to(ROOT).parts)
)


def read_prose(page):
    """The text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """The names that GitHub gives to the headings of a page."""
    heads = re.findall(r"^#+ (.*)", read_prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def list_links(page):
    found = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", read_prose(page))
    return [link or picture for link, picture in found if not (link or picture).startswith("http")]


def test_anchors_are_those_of_github(tmp_path):
    (tmp_path / "a.md").write_text("# What lands in `outputs/<run>/`\n## Scores, and what they mean\n```\n# no\n```\n")
    assert anchors(tmp_path / "a.md") == {"what-lands-in-outputsrun", "scores-and-what-they-mean"}


def test_the_pages_that_the_first_one_promises_are_looked_at():
    assert {ROOT / name / "README.md" for name in (".", "data", "notebooks", "results", "seglib")} <= set(PAGES)
    assert len(list_links(ROOT / "README.md")) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page):
    for link in list_links(page):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
