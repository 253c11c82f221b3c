"""Searching templates: words and parts of names, ranking, filters, and the index."""

import itertools
from typing import Any

import pytest

from tests.support.learning_database import Layer, LearningDatabase, template

TEMPLATES = [
    template("retry"),
    template("retry_with_backoff", description="Tries again after a pause", confidence_score=0.9),
    template("AsyncDatabaseWriter", description="Writes rows to the MainDB; see retry_with_backoff"),
    template("http client", description="Retry a request when the server is busy", language="go"),
    template("entryretrypoint"),
    template("discount_100%_off", description="a_b"),
    template("discount_1000_off", description="axb"),
    template("ÄußereSchleife", description="Überall"),
    template("日本語パターン", description="漢字"),
    template("x", description=None),
    template("queue.io", description='\\server\'s `quoted` "text" & more | (less) !not <-> :*'),
]


async def found(layer: Layer, query: str, **arguments: Any) -> list[str]:
    return [row["pattern_name"] for row in await layer.do("search", search_query=query, **arguments)]


def test_search(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        await layer.do("batch_insert", patterns=TEMPLATES)
        # Best first: the name, the beginning of the name, a part of the name, the description.
        best = ["retry", "retry_with_backoff", "entryretrypoint", "AsyncDatabaseWriter", "http client"]
        assert await found(layer, "retry") == best
        assert await found(layer, "  RETRY ") == best
        # Words in any order, parts of joined words, parts of words, in names and in descriptions.
        for query in (
            "database async",
            "DatabaseWriter",
            "databasewriter",
            "abaseWri",
            "rows writes",
            "writer see",
            "DB",
        ):
            assert await found(layer, query) == ["AsyncDatabaseWriter"], query
        assert await found(layer, "again pause") == ["retry_with_backoff"]
        assert await found(layer, "retry again") == ["retry_with_backoff"]
        assert await found(layer, "retry nowhere") == []
        # Characters that mean something in a pattern mean themselves.
        assert await found(layer, "100%") == ["discount_100%_off"]
        assert await found(layer, "a_b") == ["discount_100%_off"]
        assert await found(layer, "100%_o") == ["discount_100%_off"]
        assert await found(layer, "%") == ["discount_100%_off"]
        for query in ("&", "|", "(less)", "!not", "<->", ":*", "server's", "\\server's", '"text"', "`quoted` more"):
            assert await found(layer, query) == ["queue.io"], query
        for query in ("%%%", "''; --", "re.ry", "retry*", "$1", "/* conditions */", "& &&", "\\\\", "retry:*", "~ret"):
            assert await found(layer, query) == [], query
        # Letters of any script, and words too short for the index.
        assert await found(layer, "Äußere") == ["ÄußereSchleife"]
        assert await found(layer, "日本語") == ["日本語パターン"]
        assert await found(layer, "本語パ") == ["日本語パターン"]
        assert await found(layer, "漢") == ["日本語パターン"]
        assert await found(layer, "x") == ["x"]
        assert await found(layer, "io q") == ["queue.io"]
        # Filters and pages.
        assert await found(layer, "retry", filters={"language": "go"}) == ["http client"]
        assert await found(layer, "retry", filters={"min_confidence_score": 0.8}) == ["retry_with_backoff"]
        pages = [await found(layer, "retry", limit=2, offset=offset) for offset in (0, 2, 4, 6)]
        assert [name for page in pages for name in page] == best
        # What is changed or deleted is found as it is now.
        row = (await layer.do("search", search_query="entryretry"))[0]
        assert row["relevance"] == 0.9
        await layer.do("update", pattern_id=row["id"], data={"pattern_name": "renamed", "description": "brandnew"})
        assert await found(layer, "entryretry") == []
        assert await found(layer, "brandnew") == ["renamed"]
        await layer.do("delete", pattern_id=row["id"])
        assert await found(layer, "brandnew") == []

    learning.use(work)


def test_pages_of_any_size_have_the_same_order(learning: LearningDatabase) -> None:
    """Whether names alone fill a page or texts are needed as well."""
    words = ("Async", "Retry", "Queue", "Cache", "queue_", "retry.", " io ")
    batch = [
        template(f"{first}{second}{number}", description=f"{third} of {first}", confidence_score=number % 7 / 7)
        for number, (first, second, third) in enumerate(itertools.product(words, words, words[2:6]))
    ]

    async def work(layer: Layer) -> None:
        await layer.do("batch_insert", patterns=batch)
        for query in ("retry", "queue cache", "CacheRetry", "async of", "ue_", "io", "q", "retry. queue", "_"):
            whole = await found(layer, query, limit=1000)
            assert whole
            for size in (1, 7, len(whole)):
                # A page beyond the last one is empty.
                offsets = [0, size, 5 * size, len(whole) // size * size, len(whole)]
                for offset in offsets:
                    page = await found(layer, query, limit=size, offset=offset)
                    assert page == whole[offset : offset + size], (query, size, offset)

    learning.use(work)


def test_misspelt_words_are_found_where_pg_trgm_is(learning: LearningDatabase) -> None:
    if not learning.rows("SELECT name FROM pg_available_extensions WHERE name = 'pg_trgm'"):

        async def nothing(layer: Layer) -> None:
            await layer.do("batch_insert", patterns=TEMPLATES)
            assert await found(layer, "retyr") == []

        learning.use(nothing)
        pytest.skip("this server does not have pg_trgm to offer")
    learning.rows("CREATE SCHEMA apart; CREATE EXTENSION pg_trgm SCHEMA apart")

    async def work(layer: Layer) -> None:
        await layer.do("batch_insert", patterns=TEMPLATES)
        # A login that may not use the extension's schema searches as if there were none.
        assert await found(layer, "databse") == []
        learning.rows("GRANT USAGE ON SCHEMA apart TO PUBLIC")
        assert (await found(layer, "AsyncDatabseWriter"))[0] == "AsyncDatabaseWriter"
        assert (await found(layer, "databse"))[0] == "AsyncDatabaseWriter"
        assert (await found(layer, "retry_wiht_backof"))[0] == "retry_with_backoff"
        assert await found(layer, "retry_wiht_backof", filters={"language": "go"}) == []
        assert await found(layer, "completely unrelated") == []
        for row in await layer.do("search", search_query="databse", limit=50):
            async with layer.manager.acquire() as connection:
                measured = await connection.fetchval("SELECT apart.similarity($1, $2)", row["pattern_name"], "databse")
            assert row["name_similarity"] == pytest.approx(measured, abs=1e-6)
        # Where the words are there as they are, nothing merely alike is added.
        assert "retry" not in await found(layer, "entryretrypoint")
        first = await found(layer, "databse", limit=1)
        assert await found(layer, "databse", limit=5, offset=1) == (await found(layer, "databse", limit=6))[1:]
        assert first

    learning.use(work)


def test_the_search_uses_the_index(learning: LearningDatabase) -> None:
    from pattern_learning.statements import filtered

    async def work(layer: Layer) -> list[str]:
        many = [template(f"template {number:x}", description=f"does {number * 7919:x}") for number in range(5000)]
        await layer.do("batch_insert", patterns=many)
        async with layer.manager.acquire() as connection:
            await connection.execute("ANALYZE")
            statement, _ = filtered("learning_search", {}, 6)
            text = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
            plans = [
                await connection.fetch(f"EXPLAIN {text}", 10, 0, "1b2c", ["1b2c"], names) for names in (True, False)
            ]
        return ["\n".join(row[0] for row in plan) for plan in plans]

    for plan in learning.use(work):
        assert "pattern_template_search_document_idx" in plan
