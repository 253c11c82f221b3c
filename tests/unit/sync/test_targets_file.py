"""The file of targets: what it may say, and the one sentence about what it may not."""

from pathlib import Path

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.sync import targets_file
from code_patterns.sync.row_filter import ALL_ROWS, RowFilter
from code_patterns.sync.targets_file import VARIABLE, Target, read_targets
from tests.conftest import ROOT

MINE = "name: a, collection: mine"


def read(folder: Path, text: str) -> tuple[Target, ...]:
    path = folder / "t.yaml"
    path.write_text(text, "utf-8")
    return read_targets({VARIABLE: str(path)})


def test_no_file_means_no_target() -> None:
    assert not (ROOT / "include" / "targets.yaml").exists()
    assert read_targets({}) == read_targets({VARIABLE: " "}) == ()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[]"])
def test_an_empty_file_means_no_target(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == ()


def test_the_example_is_right_and_says_what_each_default_is() -> None:
    first, *others = read_targets({VARIABLE: "include/targets.example.yaml"})
    defaults = Target(name="team_a", collection="team_a")
    whole = first.model_dump(exclude={"filters"})
    assert whole == defaults.model_dump(exclude={"filters"}) | {"pool": "team_a", "stream_pool": "team_a_stream"}
    assert first.rows == RowFilter(("python", "go"), ("payments",), ("services/payments/",))
    assert [other.rows for other in others] == [ALL_ROWS]


def test_the_default_place_is_the_bundles_include_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets_file, "DEFAULT", tmp_path / "targets.yaml")
    assert read_targets({}) == ()
    (tmp_path / "targets.yaml").write_text("- {name: a, collection: b}")
    assert [target.name for target in read_targets({})] == ["a"]


def test_a_changed_file_is_read_again_and_the_same_one_is_not(tmp_path: Path) -> None:
    first = read(tmp_path, f"- {{{MINE}}}")
    assert read_targets({VARIABLE: str(tmp_path / "t.yaml")}) is first
    assert read(tmp_path, f"- {{{MINE}}}\n- {{name: b, collection: other}}") != first


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1", "must be a list of targets"),
        ("- 7", "target 1 must have keys such as 'name: team_a'"),
        ("- {name: a}", "target 'a' lacks the key 'collection'. Add it."),
        ("- {collection: a}", "target 1 lacks the key 'name'"),
        (
            f"- {{{MINE}, filter: {{}}}}",
            "target 'a' has the unknown key 'filter'. Remove or rename it; known are name, ",
        ),
        (
            f"- {{{MINE}, filters: {{lang: x}}}}",
            "unknown key 'filters.lang'. Remove or rename it; known are language, ",
        ),
        (
            f"- {{{MINE}, filters: {{language: 7}}}}",
            "key 'filters.language' = '7'. It must be a text or a list of texts",
        ),
        (f"- {{{MINE}, filters: {{language: [no]}}}}", "must be in quotes; correct it there"),
        (f"- {{{MINE}, filters: {{path: []}}}}", "key 'filters.path' = '[]'"),
        (f"- {{{MINE}, filters: all}}", "key 'filters' = 'all'. It must be keys and values"),
        ("- {name: 'a b', collection: mine}", "key 'name' = 'a b'. It must be letters, digits"),
        ("- {name: a, collection: x/y}", "It must be the name of a Qdrant collection"),
        ("- {name: a, collection: execution_patterns}", "the sync never writes execution_patterns"),
        (
            f"- {{{MINE}, schedules: {{full: nightly}}}}",
            "key 'schedules.full' = 'nightly'. It must be a cron expression",
        ),
        (f"- {{{MINE}, schedules: {{full: '61 * * * *'}}}}", "It must be a cron expression"),
        (f"- {{{MINE}, schedules: {{full: '0 0 30 2 *'}}}}", "It must be a cron expression"),
        (f"- {{{MINE}, schedules: {{full: 'R R * * *'}}}}", "It must be a cron expression"),
        (
            "- {name: a, collection: 2026-13-01}",
            "column 25: '2026-13-01' is no value. A text must be in quotes",
        ),
        (f"- {{name: a, collection: {'1' * 5000}}}", "column 25: '1111"),
        ("- {name: None, collection: mine}", "key 'name' = 'None'. It must be letters"),
        ("- {name: a, collection: None}", "key 'collection' = 'None'. It must be a name other than 'all' and 'None'"),
        ("- {name: a, collection: all}", "key 'collection' = 'all'. It must be a name other than 'all' and 'None'"),
        (
            f"- {{{MINE}, connections: {{qdrant: 'a b'}}}}",
            "key 'connections.qdrant' = 'a b'. It must be the name of an",
        ),
        (f"- {{{MINE}, connections: {{kafka: x}}}}", "unknown key 'connections.kafka'"),
        (f"- {{{MINE}, pool: ''}}", "key 'pool' = ''. It must be the name of an Airflow pool"),
        (f"- {{{MINE}, shards: 1}}", "key 'shards' = '1'. It must be true or false"),
        (f"- {{{MINE}, on: x}}", "column 31: 'on' is no key. Remove or rename it, or put it in quotes"),
        (f"- {{{MINE}, 1: x}}", "'1' is no key"),
        (f"- {{{MINE}, null: x}}", "'null' is no key"),
        (f"- {{{MINE}, 2026-01-01: x}}", "'2026-01-01' is no key"),
        (f"- {{{MINE}, filters: {{no: x}}}}", "'no' is no key"),
        ("- name: a\n  collection: b\n  name: c", "line 1, column 3: the key 'name' is there twice"),
        ("- name: [", "line 2, column 1: "),
        ("- !!python/object/apply:os.system [x]", "could not determine a constructor"),
        (f"- {{{MINE}}}\n- {{name: a, collection: other}}", "targets 'a' and 'a' have the same name 'a'"),
        (
            f"- {{{MINE}}}\n- {{name: b, collection: mine}}",
            "targets 'a' and 'b' have the same collection 'mine' of the connection 'patterns_qdrant'. Both would",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence_with_the_file(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "t.yaml"))
    assert told in str(raised.value)


def test_one_name_in_two_qdrants_is_two_collections(tmp_path: Path) -> None:
    listed = f"- {{{MINE}}}\n- {{name: b, collection: mine, connections: {{qdrant: other}}}}"
    assert len(read(tmp_path, listed)) == 2


def test_a_file_that_is_named_and_not_there_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"PATTERNS_TARGETS names '.*nowhere.yaml', and there is no such file"):
        read_targets({VARIABLE: "nowhere.yaml"})


def test_a_name_that_is_too_long_for_a_file_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read \(File name too long\)"):
        read_targets({VARIABLE: "x" * 5000})


def test_a_file_that_may_not_be_looked_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may look into every folder."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ConfigurationError, match=r"t\.yaml cannot be read \(Permission denied\). Let Airflow's user"):
        read(tmp_path, f"- {{{MINE}}}")


@pytest.mark.parametrize("text", ["JUN", "MAR,APR"])
def test_names_of_months_hold_no_random_field(tmp_path: Path, text: str) -> None:
    [target] = read(tmp_path, f"- {{{MINE}, schedules: {{full: '0 0 1 {text} THU'}}}}")
    assert target.schedules.full == f"0 0 1 {text} THU"


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (ALL_ROWS, RowFilter(("go",)), False),
        (RowFilter(("go", "c")), RowFilter(("python", "c")), False),
        (RowFilter(("go",)), RowFilter(("python",)), True),
        (RowFilter(projects=("a",)), RowFilter(("python",), ("b",)), True),
        (RowFilter(paths=("src/",)), RowFilter(paths=("src/core/", "lib/")), False),
        (RowFilter(paths=("src/",)), RowFilter(paths=("lib/",)), True),
    ],
)
def test_which_filters_can_share_a_row(one: RowFilter, other: RowFilter, apart: bool) -> None:
    assert one.excludes(other) is other.excludes(one) is apart


def test_the_order_of_values_makes_no_other_filter() -> None:
    assert RowFilter(("a", "b")).text == RowFilter(("b", "a", "b")).text != RowFilter(("a",)).text
    assert RowFilter().text is None
    assert RowFilter().applied(b"SELECT /* filter */ 1") == b"SELECT /* filter */ 1"
