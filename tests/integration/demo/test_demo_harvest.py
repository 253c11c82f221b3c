"""The rows of the demo: real, many, the same at every call, and as awkward as an installation's."""

import ast
import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from demo.harvest import HELD_BACK, LARGE_BYTES, PATTERNS, TAKEN_WHOLE, Harvest, Pattern, harvest
from demo.installation import DELETED, RETIRED, change, code_contents, count_by_type, load
from tests.conftest import config_of
from tests.support.real_functions import PACKAGE, package_folder

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


FUNCTION = '''
def count_words(text: str) -> int:
    """Count the words of a text, whatever stands between them."""
    words = text.split()
    return len(words)
'''


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that is the same on every interpreter."""
    folder = tmp_path_factory.mktemp("library")
    shutil.copytree(package_folder(), folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    for path in TAKEN_WHOLE:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(FUNCTION)
    return folder


@pytest.fixture(scope="module")
def rows(library: Path) -> Harvest:
    return harvest(NOW, library)


def code_of(row: Pattern) -> str:
    data = json.loads(row.pattern_data)
    return str((json.loads(data) if isinstance(data, str) else data)["code"])


def test_there_are_enough_code_rows_of_real_functions(rows: Harvest) -> None:
    code = [row for row in rows.loaded if row.pattern_type == "code"]
    assert len(code) >= 1085
    assert len(rows.later) == HELD_BACK
    assert len({row.file_path for row in code}) > 100
    for row in [*code, *rows.later]:
        ast.parse(code_of(row))


def test_the_choice_and_the_ids_are_the_same_every_time(rows: Harvest, library: Path) -> None:
    assert harvest(NOW, library) == rows


def test_this_interpreters_own_library_is_enough() -> None:
    found = harvest(NOW)
    own = {row.pattern_id for row in [*found.loaded, *found.later] if row.pattern_id.startswith("stdlib:")}
    assert len(own) == PATTERNS
    assert {path for path in TAKEN_WHOLE if any(f":{path}:" in name for name in own)} == set(TAKEN_WHOLE)


def test_keys_are_unique_and_fit_their_columns(rows: Harvest) -> None:
    every = [*rows.loaded, *rows.later]
    assert len({row.id for row in every}) == len(every)
    assert len({(row.pattern_id, row.pattern_version) for row in every}) == len(every)
    assert max(len(row.pattern_id) for row in every) <= 255
    assert max(len(row.pattern_name) for row in every) <= 255


def test_the_awkward_shapes_of_an_installation_are_there(rows: Harvest) -> None:
    code = [row for row in rows.loaded if row.pattern_type == "code"]
    texts = {row.pattern_name: code_of(row) for row in code}
    assert Counter(row.pattern_type for row in rows.loaded).keys() == {"code", "config", "template", "workflow"}
    assert sum(isinstance(json.loads(row.pattern_data), str) for row in code) > 50
    assert sum(row.metadata is None for row in code) > 10
    assert texts["empty_code"] == ""
    assert "数据库" in texts["größe_prüfen"]
    assert len(texts["everything_at_once"].encode()) >= LARGE_BYTES
    assert any(row.pattern_version == "2.0.0" for row in code)


def test_metadata_describes_the_function(rows: Harvest) -> None:
    pattern_id = f"stdlib:{TAKEN_WHOLE[-1]}:count_words"
    row = next(row for row in [*rows.loaded, *rows.later] if row.pattern_id == pattern_id)
    metadata = json.loads(row.metadata or "")
    assert (row.file_path, row.language) == (TAKEN_WHOLE[-1], "python")
    assert metadata["kind"] == "function"
    assert metadata["arguments"] == ["text"]
    assert metadata["description"] == "Count the words of a text, whatever stands between them."
    assert (metadata["first_line"], metadata["last_line"]) == (2, 5)


def test_rows_are_dated_over_the_time_before_the_load(rows: Harvest) -> None:
    dates = [row.created_at for row in rows.loaded]
    assert dates == sorted(dates)
    assert max(dates) < NOW
    assert sum((NOW - date).total_seconds() < 6 * 3600 for date in dates) > 10


def test_an_installation_is_loaded_and_then_changed_as_announced(rows: Harvest, empty_database: str) -> None:
    config = config_of(empty_database)
    load(config, rows)
    before = code_contents(config)
    with psycopg.connect(empty_database) as connection:
        columns = {
            row[0]
            for row in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'pattern_lineage_nodes'"
            )
        }
        scored = connection.execute(
            "SELECT count(*), count(DISTINCT pattern_id) FROM pattern_quality_metrics"
        ).fetchone()
    assert {"usage_count", "last_used_at"} <= columns
    assert not {"sync_xid", "updated_at"} & columns
    assert scored == (105, 65)

    burst = change(config, rows)

    after = code_contents(config)
    kept = before.keys() & after.keys()
    assert len(after.keys() - before.keys()) == burst.inserted == HELD_BACK
    assert len(before.keys() - after.keys()) == burst.deleted + burst.retired == DELETED + RETIRED
    assert sum(before[key]["code"] != after[key]["code"] for key in kept) == burst.code_changed
    assert sum(before[key]["metadata"] != after[key]["metadata"] for key in kept) == burst.metadata_changed
    assert burst.counted == len(rows.loaded) + HELD_BACK
    assert count_by_type(config)["code"] == len(after)
