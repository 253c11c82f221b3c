"""Read the ``.env`` file of the earlier scripts, and make of it what the three Airflow connections will hold."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionFields
from code_patterns.servers.postgres_url import config_from_url

POSTGRES_URLS = ("TRACEABILITY_DB_URL_EXTERNAL", "TRACEABILITY_DB_URL", "DATABASE_URL")
"""Variables with a whole URL; the first one that is set counts."""
POSTGRES_PARTS = (
    {name: (f"TRACEABILITY_DB_{name}",) for name in ("HOST", "PORT", "NAME", "USER", "PASSWORD")},
    {
        **{name: (f"POSTGRES_{name}",) for name in ("HOST", "PORT", "USER", "PASSWORD")},
        "NAME": ("POSTGRES_DATABASE", "POSTGRES_DB"),
    },
)
"""Variables with parts of it; the first group with a host counts, after the URLs."""
QDRANT = {"url": ("QDRANT_URL",), "host": ("QDRANT_HOST",), "port": ("QDRANT_PORT",), "key": ("QDRANT_API_KEY",)}
EMBEDDINGS = {
    "openai": ("EMBEDDING_MODEL_URL",),
    "ollama": ("OLLAMA_BASE_URL", "OLLAMA_URL"),
    "api": ("EMBEDDING_API",),
    "model": ("EMBEDDING_MODEL",),
    "dimension": ("EMBEDDING_DIMENSIONS", "EMBEDDING_DIMENSION"),
    "key": ("EMBEDDING_API_KEY", "OPENAI_API_KEY"),
}
OLD_MODEL = "nomic-embed-text"
"""What the earlier scripts asked Ollama for, unless they were told otherwise."""


@dataclass(frozen=True)
class OldConnection:
    """A server that the file names.

    :param fields: the Airflow connection, as a person would type it
    :param conn_type: its type
    :param source: variables that name the server
    :param secret: the variable that holds the password or API key alone; empty if none does
    :param whole: the variable that holds a URL with the password in it; empty if none does
    :param address: the variable that holds the host with a query, which may be a key; empty if none does
    """

    fields: ConnectionFields
    conn_type: str
    source: Sequence[str]
    secret: str = ""
    whole: str = ""
    address: str = ""


@dataclass(frozen=True)
class OldEnvironment:
    """What a file says.

    :param path: the file
    :param postgres: the database
    :param qdrant: the Qdrant server
    :param embeddings: the embedding server
    :param notes: what a person should know about how the file was read
    :param unused: names of variables that this bundle has no use for
    """

    path: Path
    postgres: OldConnection
    qdrant: OldConnection
    embeddings: OldConnection
    notes: Sequence[str]
    unused: Sequence[str]


class _Variables:
    """The variables of a file, and which of them were looked at."""

    def __init__(self, path: Path, values: Mapping[str, str]) -> None:
        self.path = path
        self._values = values
        self.seen: set[str] = set()

    def first(self, names: Sequence[str]) -> tuple[str, str]:
        """Name and value of the first of these that is set; empty texts if none is."""
        self.seen.update(names)
        return next(((name, self._values[name]) for name in names if self._values.get(name)), ("", ""))

    def refuse(self, what: str, names: Sequence[str]) -> ConfigurationError:
        return ConfigurationError(
            Code.OLD_ENVIRONMENT_WRONG,
            f"{self.path} names no {what}. Set {' or '.join(names)} in it; nothing is guessed.",
        )


def read_old_environment(path: Path) -> OldEnvironment:
    """Read a file.

    :param path: a file of lines such as ``NAME=value``
    :raises ConfigurationError: it cannot be read, or lacks what a connection needs; the text shows no value that may be
        a secret
    """
    values, misread = _read(path)
    variables = _Variables(path, values)
    notes: list[str] = []
    postgres = _postgres(variables, notes)
    qdrant = _qdrant(variables)
    embeddings = _embeddings(variables, notes)
    for name in sorted(misread.keys() & variables.seen):
        raise ConfigurationError(Code.OLD_ENVIRONMENT_WRONG, misread[name])
    unused = sorted(values.keys() - variables.seen)
    return OldEnvironment(path, postgres, qdrant, embeddings, notes, unused)


def _read(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables, and what to say of those to which a shell gives another value."""
    try:
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            Code.OLD_ENVIRONMENT_WRONG, f"{path} cannot be read: {reason}. Name the .env file with --env."
        ) from None
    misread = {}
    for binding in bindings:
        line = f"Line {binding.original.line} of {path}"
        if binding.error:
            raise ConfigurationError(
                Code.OLD_ENVIRONMENT_WRONG, f"{line} is no assignment such as NAME=value. Correct it."
            )
        if binding.key and not _is_the_same_to_a_shell(binding.key, binding):
            misread[binding.key] = (
                f"{line} gives {binding.key} another value in a shell, which is to load the file. Write it without "
                "blanks around '=' and with the value between single quotes, or between double ones if it holds a "
                "single one. If others read the file too, do so in a copy, and name that one with --env."
            )
    values = dotenv_values(path, encoding="utf-8")
    return {name: value for name, value in values.items() if value}, misread


def _is_the_same_to_a_shell(name: str, binding: Binding) -> bool:
    """Whether a shell that loads the file gives a variable the same value, and does nothing else."""
    typed, value = binding.original.string, binding.value or ""
    lexer = shlex.shlex(typed, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:
        return False
    assignment, *rest = words[1:] if words[0] == "export" else words
    if assignment != f"{name}={value}" or (rest and not rest[0].startswith("#")):
        return False
    begin = typed.partition("=")[2].lstrip()
    # The scripts replace ${NAME} between any quotes, and never $NAME.
    if begin.startswith("'"):
        return "${" not in value
    return not begin.startswith("~") and not re.search(r"[$`]", re.sub(r"\$\{\w+\}", "", value))


def _postgres(variables: _Variables, notes: list[str]) -> OldConnection:
    found = [*_from_urls(variables), *_from_parts(variables)]
    if not found:
        raise variables.refuse("database", (*POSTGRES_URLS, "TRACEABILITY_DB_HOST", "POSTGRES_HOST"))
    chosen = found[0]
    for other in found[1:]:
        if _place(other) != _place(chosen):
            notes.append(f"{other.source[0]} names another database than {chosen.source[0]}, which counts here.")
    if chosen.fields.password and not chosen.secret and not chosen.whole:
        notes.append(f"The password in {chosen.source[0]} has no variable of its own: enter it in the Airflow UI.")
    return chosen


def _place(connection: OldConnection) -> tuple[str, int | None, str]:
    return connection.fields.host, connection.fields.port, connection.fields.schema


def _from_urls(variables: _Variables) -> Iterator[OldConnection]:
    for name in POSTGRES_URLS:
        _, url = variables.first((name,))
        if not url:
            continue
        config = config_from_url(url, name)
        fields = ConnectionFields(
            "patterns_postgres",
            config.host,
            config.port,
            config.database,
            config.user,
            config.password,
            json.dumps(dict(config.options)) if config.options else None,
        )
        # Airflow looks for the host in one place only.
        usable = "://" in url and urlsplit(url).hostname
        yield OldConnection(fields, "postgres", (name,), whole=name if usable else "")


def _from_parts(variables: _Variables) -> Iterator[OldConnection]:
    for parts in POSTGRES_PARTS:
        found = {part: variables.first(names) for part, names in parts.items()}
        if not found["HOST"][0]:
            continue
        if missing := [parts[part][0] for part in ("NAME", "USER") if not found[part][0]]:
            raise ConfigurationError(
                Code.OLD_ENVIRONMENT_WRONG,
                f"{variables.path} has {found['HOST'][0]}, but not {missing[0]}. Set it too; nothing is guessed.",
            )
        fields = ConnectionFields(
            "patterns_postgres",
            found["HOST"][1],
            _number(variables, *found["PORT"]) or 5432,
            found["NAME"][1],
            found["USER"][1],
            found["PASSWORD"][1] or None,
        )
        names = [name for name, _ in found.values() if name]
        yield OldConnection(fields, "postgres", names, secret=found["PASSWORD"][0])


def _number(variables: _Variables, name: str, value: str) -> int | None:
    if value and not (value.isdecimal() and 0 < int(value) < 65536):
        raise ConfigurationError(
            Code.OLD_ENVIRONMENT_WRONG,
            f"{name} of {variables.path} is {value!r}; it must be a whole number from 1 to 65535.",
        )
    return int(value) if value else None


def _qdrant(variables: _Variables) -> OldConnection:
    (url_name, url), (host_name, host) = variables.first(QDRANT["url"]), variables.first(QDRANT["host"])
    port_name, port = variables.first(QDRANT["port"])
    secret, key = variables.first(QDRANT["key"])
    if url:
        # An API key alone would mean HTTPS; the URL says what it is.
        fields = ConnectionFields("patterns_qdrant", password=key or None, extra=json.dumps({"url": url}))
        return OldConnection(fields, "qdrant", (url_name,), secret)
    if not host:
        raise variables.refuse("Qdrant", (*QDRANT["url"], *QDRANT["host"]))
    fields = ConnectionFields(
        "patterns_qdrant",
        host,
        _number(variables, port_name, port),
        password=key or None,
        extra=None if "://" in host else json.dumps({"https": False}),
    )
    return OldConnection(fields, "qdrant", [name for name in (host_name, port_name) if name], secret)


def _embeddings(variables: _Variables, notes: list[str]) -> OldConnection:
    servers = {api: variables.first(EMBEDDINGS[api]) for api in ("openai", "ollama")}
    api_name, typed = variables.first(EMBEDDINGS["api"])
    api = typed or next((api for api, (name, _) in servers.items() if name), "")
    if not api:
        raise variables.refuse("embedding server", (*EMBEDDINGS["openai"], *EMBEDDINGS["ollama"]))
    name, url = servers.get(api, ("", ""))
    for other, (other_name, _) in servers.items():
        if other_name and other != api:
            notes.append(f"{name or api_name} counts for the embeddings; {other_name} does not.")
    model_name, model = variables.first(EMBEDDINGS["model"])
    if not model and api == "ollama":
        model = OLD_MODEL
        notes.append(f"No {EMBEDDINGS['model'][0]} is set: {OLD_MODEL} is taken, as the earlier scripts did.")
    elif not model and api == "openai":
        raise variables.refuse("model of the embedding server", EMBEDDINGS["model"])
    dimension_name, dimension = variables.first(EMBEDDINGS["dimension"])
    secret, key = variables.first(EMBEDDINGS["key"]) if api == "openai" else ("", "")
    extra: dict[str, str | int] = {"api": api}
    if model:
        extra["model"] = model
    if dimension:
        extra["dimension"] = _number(variables, dimension_name, dimension) or 0
    if api != "hashing" and not url:
        raise variables.refuse(f"server for the {api} embeddings", EMBEDDINGS.get(api, EMBEDDINGS["api"]))
    fields = ConnectionFields("patterns_embeddings", url, password=key or None, extra=json.dumps(extra))
    sources = [each for each in (api_name, name, model_name) if each]
    return OldConnection(fields, "embedding", sources, secret, address=name if "?" in url else "")
