"""The file that lists the targets: read, and checked by one model before any DAG is made of it."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any, NoReturn

import yaml
from croniter import CroniterBadDateError, croniter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.sql import INCLUDE
from code_patterns.sync.row_filter import RowFilter
from code_patterns.sync.sync_settings import HOURLY, WritableCollection
from code_patterns.sync.sync_target import MIGRATION, SyncTarget
from code_patterns.typed_fields import first_error, own_rule, rule_of

VARIABLE = "PATTERNS_TARGETS"
"""The environment variable that names another file; a relative path begins at the bundle's root."""
DEFAULT = INCLUDE / "targets.yaml"

_RANDOM = re.compile(r"(?<![A-Z])R(?![A-Z])", re.IGNORECASE)
_DEFAULT_POSTGRES = "patterns_postgres"

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _matching(pattern: str, rule: str) -> BeforeValidator:
    """Let only texts of a form through; a JSON schema cannot say it in words."""

    def check(text: Any) -> str:
        if not isinstance(text, str) or not re.fullmatch(pattern, text):
            raise own_rule(rule)
        return text

    return BeforeValidator(check)


def _cron(text: Any) -> str | None:
    if text is None or (isinstance(text, str) and _has_a_next(text)):
        return text
    raise own_rule("a cron expression of five fields in quotes, such as '0 2 * * *', or null for no schedule")


def _has_a_next(text: str) -> bool:
    # Airflow's own names for schedules are no cron for the library, and five fields say the same. R is any moment,
    # another one each time that the file is read.
    if len(text.split()) != 5 or _RANDOM.search(text) or not croniter.is_valid(text):
        return False
    try:
        croniter(text).get_next()
    except CroniterBadDateError:
        return False
    return True


def _values(given: Any) -> tuple[str, ...]:
    values = [given] if isinstance(given, str) else given
    if not isinstance(values, list) or not values or not all(isinstance(value, str) and value for value in values):
        raise own_rule("a text or a list of texts; numbers, yes, no and dates must be in quotes")
    return tuple(values)


_Name = Annotated[
    str,
    # A template renders nothing as "None".
    _matching(
        r"(?!None$)[A-Za-z0-9][A-Za-z0-9_-]{0,49}", "letters, digits, '_' and '-', at most 50 of them, and not 'None'"
    ),
]
_Connection = Annotated[
    str, _matching(r"[\w.-]{1,200}", "the name of an Airflow connection: letters, digits, '_', '-' and '.'")
]
_Pool = Annotated[str, _matching(r"[^\n]{1,256}", "the name of an Airflow pool")]
_Cron = Annotated[str | None, BeforeValidator(_cron)]
_Values = Annotated[tuple[str, ...], BeforeValidator(_values)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Connections(_Strict):
    """Names of Airflow connections.

    :param postgres: the patterns' database
    :param qdrant: Qdrant
    :param embeddings: the embedding server or model
    """

    postgres: _Connection = _DEFAULT_POSTGRES
    qdrant: _Connection = "patterns_qdrant"
    embeddings: _Connection = "patterns_embeddings"

    @property
    def migration(self) -> str:
        """The DAG that migrates the database."""
        return MIGRATION if self.postgres == _DEFAULT_POSTGRES else f"{MIGRATION}__{self.postgres}"


class Schedules(_Strict):
    """When the DAGs run, in UTC; ``None`` means by hand only.

    :param full: the full sync
    :param incremental: the sync of what has changed
    """

    full: _Cron = "0 2 * * *"
    incremental: _Cron = HOURLY


class Filters(_Strict):
    """Which rows the target has; see :class:`~code_patterns.sync.row_filter.RowFilter`."""

    language: _Values = ()
    project: _Values = ()
    path: _Values = ()


class Target(_Strict):
    """One target of the file.

    :param name: what its DAGs and assets end in
    :param collection: alias or collection in Qdrant
    :param pool: pool of its tasks; ``None`` for that of all targets
    :param stream_pool: pool of its stream; ``None`` for that of all streams
    :param shards: whether several workers share its full sync
    :param scores: whether it has a DAG that scores its patterns
    """

    name: _Name
    collection: WritableCollection
    connections: Connections = Connections()
    schedules: Schedules = Schedules()
    filters: Filters = Filters()
    pool: _Pool | None = None
    stream_pool: _Pool | None = None
    shards: Annotated[bool, Field(strict=True)] = False
    scores: Annotated[bool, Field(strict=True)] = False

    @property
    def rows(self) -> RowFilter:
        """Which rows it has."""
        return RowFilter(self.filters.language, self.filters.project, self.filters.path)

    @property
    def sync_target(self) -> SyncTarget:
        """The target, as its runs see it."""
        return SyncTarget(self.name, self.rows, migration=self.connections.migration)


def read_targets(environment: Mapping[str, str]) -> tuple[Target, ...]:
    """Read the targets; none if there is no file and none is named.

    :param environment: the environment of this process
    :raises ConfigurationError: the file is wrong; the message names it, the target, the key, and what to do
    """
    named = environment.get(VARIABLE, "").strip()
    path = INCLUDE.parent / named if named else DEFAULT
    try:
        stat = path.stat()
        if not S_ISREG(stat.st_mode):
            raise FileNotFoundError
        # All DAG files of one process read it once, as long as it stays the same.
        return _read(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        if not named:
            return ()
        raise ConfigurationError(
            Code.TARGETS_FILE_WRONG,
            f"The environment variable {VARIABLE} names '{path}', and there is no such file. Correct the variable "
            "where Airflow parses the DAGs and on the workers.",
        ) from None
    except OSError as error:
        raise ConfigurationError(
            Code.TARGETS_FILE_WRONG, f"{path} cannot be read ({error.strerror}). Let Airflow's user read it."
        ) from None


@lru_cache(maxsize=1)
def _read(path: Path, *_: int) -> tuple[Target, ...]:
    listed = _parsed(path)
    if not isinstance(listed, list):
        raise ConfigurationError(
            Code.TARGETS_FILE_WRONG,
            f"{path} must be a list of targets, each beginning with '- name: '. Correct the file.",
        )
    targets = tuple(_checked(path, number, entry) for number, entry in enumerate(listed, 1))
    _refuse_twice(path, targets, "name", lambda target: (target.name,), "Give one of them another name")
    _refuse_twice(
        path,
        targets,
        "collection",
        lambda target: (target.connections.qdrant, target.collection),
        "Both would delete what only the other one wants. Give each a collection of its own",
    )
    return targets


def _parsed(path: Path) -> Any:
    try:
        listed = yaml.load(path.read_bytes(), _UniqueKeys)  # noqa: S506 - it is a safe loader
        return [] if listed is None else listed
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "this is no YAML"
        raise ConfigurationError(Code.TARGETS_FILE_WRONG, f"{path}{where}: {reason}. Correct the file.") from None


class _UniqueKeys(_Loader):  # type: ignore[misc, valid-type]  # one of two classes
    """YAML lets the last of two equal keys win, and the first one would be lost without a word.

    It also reads a key such as ``on`` or ``1`` as something that is no text, and so no key of ours.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError:
            # It looks like a day that does not exist, or like a number that is too long.
            raise yaml.MarkedYAMLError(
                problem=f"'{str(node.value)[:40]}' is no value. A text must be in quotes", problem_mark=node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        counted = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and counted[key.value] > 1:
                raise yaml.MarkedYAMLError(problem=f"the key '{key.value}' is there twice", problem_mark=key.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and not isinstance(self.construct_object(key), str):
                raise yaml.MarkedYAMLError(
                    problem=f"'{key.value[:40]}' is no key. Remove or rename it, or put it in quotes",
                    problem_mark=key.start_mark,
                )
        return mapping


def _checked(path: Path, number: int, entry: Any) -> Target:
    name = entry.get("name") if isinstance(entry, dict) else None
    where = f"{path}: target {repr(name) if isinstance(name, str) else number}"
    if not isinstance(entry, dict):
        raise ConfigurationError(
            Code.TARGETS_FILE_WRONG, f"{where} must have keys such as 'name: team_a'. Correct the file."
        )
    try:
        return Target.model_validate(entry)
    except ValidationError as error:
        _refuse(where, first_error(error), entry)


def _refuse(where: str, error: ErrorDetails, entry: Any) -> NoReturn:
    """Say in one sentence what is wrong with a key."""
    # A position in a union is no key.
    location = [str(part) for part in error["loc"] if isinstance(part, str) and "[" not in part]
    key, model = ".".join(location), _model_at(location[:-1])
    if error["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        raise ConfigurationError(
            Code.TARGETS_FILE_WRONG, f"{where} has the unknown key '{key}'. Remove or rename it; known are {known}."
        )
    if error["type"] == "missing":
        raise ConfigurationError(Code.TARGETS_FILE_WRONG, f"{where} lacks the key '{key}'. Add it.")
    rule = "keys and values" if error["type"] in ("model_type", "model_attributes_type") else None
    rule = rule or rule_of({**error, "loc": (location[-1],)}, model.model_json_schema())
    value: Any = entry
    for part in location:
        value = value[part]
    raise ConfigurationError(
        Code.TARGETS_FILE_WRONG,
        f"{where} has the key '{key}' = {str(value)[:60]!r}. It must be {rule}; correct it there.",
    )


def _model_at(location: list[str]) -> type[BaseModel]:
    model: type[BaseModel] = Target
    for part in location:
        found = model.model_fields[part].annotation
        model = found if isinstance(found, type) and issubclass(found, BaseModel) else model
    return model


def _refuse_twice(
    path: Path, targets: tuple[Target, ...], key: str, of: Callable[[Target], tuple[str, ...]], remedy: str
) -> None:
    for first, second in _pairs(targets, of):
        both = f"targets '{first.name}' and '{second.name}'"
        conn_id = f" of the connection '{first.connections.qdrant}'" if key == "collection" else ""
        raise ConfigurationError(
            Code.TARGETS_FILE_WRONG, f"{path}: {both} have the same {key} '{of(first)[-1]}'{conn_id}. {remedy}."
        )


def _pairs(targets: tuple[Target, ...], of: Callable[[Target], tuple[str, ...]]) -> Iterator[tuple[Target, Target]]:
    """Targets that have the same value, each with the first one that has it."""
    seen: dict[tuple[str, ...], Target] = {}
    for target in targets:
        if (first := seen.setdefault(of(target), target)) is not target:
            yield first, target
