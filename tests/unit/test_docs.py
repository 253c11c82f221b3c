"""What the pages of ``docs/`` and the README name exists."""

import re
from pathlib import Path

import pytest

from code_patterns.embeddings.connection import embedding_config
from code_patterns.errors import ConfigurationError
from code_patterns.operators.failure import Failure
from code_patterns.servers.connection_models import ConnectionFields
from tests.conftest import ROOT

WALK = ROOT / "docs" / "how-a-row-becomes-a-point.md"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
FILE = re.compile(r"[\w/]+\.(?:py|sql)\b")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")


def test_every_file_on_the_way_of_a_row_exists_and_is_named_once_in_each_picture() -> None:
    pictures = WALK.read_text("utf-8").split("```")[1::2][:2]
    for picture in pictures:
        files = FILE.findall(picture)
        assert len(files) >= 10
        assert len(set(files)) == len(files)
        assert len(picture.splitlines()) <= 60
    for name in FILE.findall(WALK.read_text("utf-8")):
        folder = ROOT if name.startswith(("dags/", "include/")) else ROOT / "plugins" / "code_patterns"
        assert (folder / name).is_file(), name


def test_the_message_of_the_bad_connection_is_the_one_that_people_get() -> None:
    extra = '{"api": "ollama", "model": "nomic-embed-text", "dimension": "many"}'
    with pytest.raises(ConfigurationError) as raised:
        embedding_config(ConnectionFields("patterns_embeddings", host="localhost", extra=extra))
    assert "\n".join(Failure.of(raised.value, 1, 0).lines()) in WALK.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for path, heading in LINK.findall(page.read_text("utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings}
