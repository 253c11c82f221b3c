"""What the Params of a migration run may be."""

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.migrations.request import MigrationRequest, read_request


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("up", None, True), MigrationRequest("up", None, True)),
        (("up", "None", "True"), MigrationRequest("up", None, True)),
        (("down", "0", "false"), MigrationRequest("down", 0, False)),
        (("down", 13, False), MigrationRequest("down", 13, False)),
        (("down", "013", "False"), MigrationRequest("down", 13, False)),
    ],
)
def test_values_and_their_texts_mean_the_same(given: tuple[object, ...], expected: MigrationRequest) -> None:
    assert read_request(*given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("sideways", None, True), "The Param 'direction' is 'sideways'"),
        (("up", "latest", True), "The Param 'target' is 'latest'"),
        (("up", -1, True), "The Param 'target' is -1"),
        (("up", 1.5, True), "The Param 'target' is 1.5"),
        (("up", None, None), "The Param 'dry_run' is None"),
        (("up", None, "no"), "The Param 'dry_run' is 'no'"),
    ],
)
def test_anything_else_is_named(given: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_request(*given)
