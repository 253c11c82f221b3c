"""``python -m code_patterns.adopt --env .env``: what it takes to come over from the earlier scripts.

It prints commands for connections and Variables, and what both sides hold. It writes nothing anywhere. Ends with 0 if a
first sync could start, with 1 if something is to be settled before, with 2 after wrong input or without a server.
"""

import argparse
import asyncio
import sys
import warnings
from pathlib import Path

from code_patterns.adopt.commands import commands
from code_patterns.adopt.inspection import inspect
from code_patterns.adopt.old_environment import OldConnection, read_old_environment
from code_patterns.adopt.overview import overview
from code_patterns.embeddings.connection import embedding_config
from code_patterns.errors import PatternsError
from code_patterns.servers.postgres_connection import postgres_config
from code_patterns.servers.qdrant_connection import qdrant_config


def main(arguments: list[str]) -> int:
    """Run the command.

    :param arguments: those of the command line
    :return: the exit status
    """
    parser = argparse.ArgumentParser(prog="python -m code_patterns.adopt", description=__doc__)
    parser.add_argument("--env", type=Path, required=True, help="the .env file of the earlier scripts")
    parser.add_argument("--collection", default="code_patterns", help="alias or collection in Qdrant (%(default)s)")
    chosen = parser.parse_args(arguments)
    # The client warns of an API key over HTTP, with a line of its source; the log of each sync shows that too.
    warnings.simplefilter("ignore", UserWarning)
    try:
        return _adopt(chosen.env, chosen.collection)
    except PatternsError as error:
        print(f"{error}", file=sys.stderr)
        return 2


def _adopt(path: Path, collection: str) -> int:
    old = read_old_environment(path)
    postgres, qdrant = postgres_config(old.postgres.fields), qdrant_config(old.qdrant.fields)
    embedding = embedding_config(old.embeddings.fields)
    print(f"{path}:")
    print(
        f"  the database by {_names(old.postgres)}; Qdrant by {_names(old.qdrant)}; vectors by {_names(old.embeddings)}"
    )
    for note in old.notes:
        print(f"  {note}")
    if old.unused:
        print(f"  not needed any more: {', '.join(old.unused)}")
    print("\nCommands, to be run in one shell where airflow runs; the secrets stay in the file:\n")
    print("\n".join(commands(old, collection)), end="\n\n", flush=True)
    found = asyncio.run(inspect(postgres, qdrant, embedding, collection))
    print(overview(found, collection))
    return 1 if found.blockers else 0


def _names(connection: OldConnection) -> str:
    return ", ".join(connection.source)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
