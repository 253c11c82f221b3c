"""Searches over real rows, points and scores."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import models

from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.search import (
    SearchAnswer,
    SearchQuery,
    UnknownPatternError,
    WrongQueryError,
    open_searcher,
    searched,
    searcher,
)
from code_patterns.servers.qdrant import open_client
from code_patterns.servers.qdrant_embedded import BusyStorageError
from code_patterns.servers.qdrant_options import CollectionOptions
from tests.integration.search.conftest import find, find_all, get, names, pattern, score
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import Fault, QdrantServer
from tests.support.kept_connections import connected
from tests.support.two_sides import TwoSides


def test_words_find_a_pattern_by_the_parts_of_its_name(three: TwoSides) -> None:
    answer = find(three, "parsing headers")
    # "read" is a synonym of "parse".
    assert names(answer) == ["parse_header", "read_config"]
    hit = answer.hits[0]
    assert (answer.mode, answer.more) == ("words", False)
    assert hit.words_score == hit.score > 0
    assert hit.meaning_score is None
    assert hit.matched_words[0] == "parse_header"
    assert (hit.file_path, hit.language, hit.quality_score, hit.quality_tier) == (
        "src/parse_header.py",
        "python",
        None,
        None,
    )
    assert hit.code == "def parse_header(line):\n    return line.split(':')"


@pytest.mark.parametrize("mode", ["meaning", "hybrid"])
def test_each_mode_asks_its_sides(three: TwoSides, mode: str) -> None:
    answer = find(three, "parse header", mode=mode)
    assert (answer.mode, len(answer.hits), names(answer)[0]) == (mode, 3, "parse_header")
    first, last = answer.hits[0], answer.hits[-1]
    assert first.meaning_score is not None
    assert last.meaning_score is not None
    assert (first.words_score is not None, last.words_score) == (mode == "hybrid", None)


def test_without_a_text_the_filters_list(three: TwoSides) -> None:
    answer = find(three, language="python")
    assert (answer.mode, sorted(map(str, names(answer)))) == ("list", ["parse_header", "read_config", "send_mail"])


def test_a_text_without_a_word_finds_nothing(three: TwoSides) -> None:
    assert find(three, "??? -- the").hits == ()


def test_another_collection_behind_the_name_is_noticed_at_once(
    three: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searched, "KNOWN_SECONDS", 600.0)

    async def run() -> list[str]:
        async with open_searcher(three.as_reader, three.qdrant, three.embedding, three.collection) as searcher:
            first = await searcher.search(SearchQuery(text="parse header", mode="meaning"))
        longer = replace(three.embedding, dimension=2 * three.embedding.dimension)
        async with open_searcher(three.as_reader, three.qdrant, longer, three.collection) as searcher:
            # As an API server that knows the former collection still, and the new connection already.
            before = await searcher.search(SearchQuery(text="parse header", mode="meaning"))
            three.embedding = longer
            await asyncio.to_thread(three.sync, "full")
            after = await searcher.search(SearchQuery(text="parse header", mode="meaning"))
        return [str(answer.hits[0].pattern_name) for answer in (first, before, after)]

    assert asyncio.run(run()) == ["parse_header"] * 3


@pytest.mark.parametrize("strict", [False, True])
def test_filters_are_exact(sides: TwoSides, strict: bool) -> None:
    if strict:
        if sides.qdrant.path:
            pytest.skip("the embedded storage has no strict mode")
        # A filter without an index is refused.
        options = {"strict_mode": {"enabled": True, "unindexed_filtering_retrieve": False}}
        sides.qdrant = replace(sides.qdrant, collection=CollectionOptions.model_validate(options))
    project = json.dumps({"project_id": "billing"})
    sides.insert(
        [
            pattern("a", "x = needle", file_path="src/app/main.py", metadata=project),
            pattern("b", "x = needle", file_path="src/apple/main.py", language="go"),
            pattern("c", "x = needle", file_path="lib/src/app/main.py", language=None),
            pattern("d", "x = needle", file_path="src/app%/_a.py"),
            pattern("e", "x = needle", file_path=None),
        ]
    )
    sides.execute("UPDATE pattern_lineage_nodes SET created_at = '2020-01-01' WHERE pattern_id <> 'd'")
    sides.sync("full")

    expected: list[tuple[dict[str, Any], str]] = [
        ({}, "abcde"),
        ({"language": "go"}, "b"),
        ({"language": "unknown"}, "c"),
        ({"language": "Go"}, ""),
        ({"project": "billing"}, "a"),
        ({"pattern_type": "code"}, "abcde"),
        ({"pattern_type": "config"}, ""),
        ({"path_prefix": "src/app"}, "abd"),
        ({"path_prefix": "src/app/"}, "a"),
        ({"path_prefix": "src/app%"}, "d"),
        ({"path_prefix": "SRC/"}, ""),
        ({"path_prefix": "src/app/main.py"}, "a"),
        ({"created_since": "2024-06-01"}, "d"),
        ({"created_since": "2020-01-01"}, "abcde"),
        ({"path_prefix": "src/", "language": "python", "project": "billing"}, "a"),
    ]
    answers = find_all(sides, *({"text": "needle", **fields} for fields, _ in expected))
    for (fields, wanted), answer in zip(expected, answers, strict=True):
        assert "".join(sorted(map(str, names(answer)))) == wanted, fields


def test_quality_filters_exactly_and_looks_behind_the_first_window(sides: TwoSides) -> None:
    many = [pattern(f"needle_{number}", f"needle = {number}") for number in range(140)]
    worst = pattern("z", "needle " + "filler " * 200)
    sides.insert([*many, worst])
    score(sides, worst, 0.95, 0.8)
    score(sides, many[0], 0.7, None)
    sides.sync("full")
    answer = find(sides, "needle", min_quality=0.9)
    [hit] = answer.hits
    assert (hit.pattern_name, hit.quality_score, hit.quality_tier, hit.confidence) == ("z", 0.95, "excellent", 0.8)
    assert not answer.more
    needle = {"text": "needle"}
    fair, confident, more_confident, before_last, last = find_all(
        sides,
        {**needle, "min_quality": 0.7},
        {**needle, "min_confidence": 0.8},
        {**needle, "min_confidence": 0.81},
        {**needle, "limit": 100, "offset": 40},
        {**needle, "limit": 100, "offset": 41},
    )
    assert set(names(fair)) == {"needle_0", "z"}
    assert (names(confident), names(more_confident)) == (["z"], [])
    assert (before_last.more, last.more) == (True, False)


def test_pages_go_on_where_the_one_before_ended(sides: TwoSides) -> None:
    sides.insert(pattern(f"needle_{number}", f"needle = {number}", language="python") for number in range(130))
    sides.sync("full")
    query = {"text": "needle one two", "mode": "hybrid"}
    *pages, long = find_all(
        sides, *({**query, "limit": 26, "offset": start} for start in range(0, 156, 26)), {**query, "limit": 100}
    )
    assert [page.more for page in pages] == [True] * 4 + [False] * 2
    together = [hit.id for page in pages for hit in page.hits]
    assert (len(together), len(set(together))) == (130, 130)
    assert together[:100] == [hit.id for hit in long.hits]


def test_similar_to_a_pattern(three: TwoSides) -> None:
    three.insert([pattern("parse_headers", "def parse_headers(lines):\n    return line.split(':')")])
    three.sync("incremental")
    by_name = find(three, similar_to="parse_header")
    assert (by_name.mode, names(by_name)[0], len(by_name.hits)) == ("similar", "parse_headers", 3)
    assert by_name.hits[0].matched_words == ()
    [(node_id,)] = three.execute("SELECT id::text FROM pattern_lineage_nodes WHERE pattern_id = 'parse_header'")
    assert find(three, similar_to=node_id).hits == by_name.hits
    by_code = find(three, "def read_config(file):\n    return json.load(open(file))", mode="similar")
    assert (by_code.mode, names(by_code)[0]) == ("similar", "read_config")
    with pytest.raises(UnknownPatternError, match=r"has no pattern 'parse_footer'"):
        find(three, similar_to="parse_footer")


def test_one_pattern_by_its_uuid_or_the_newest_of_its_versions(sides: TwoSides) -> None:
    old, new = pattern("parse", "old = 1"), pattern("parse", "new = 1")
    sides.insert([old])
    sides.execute("UPDATE pattern_lineage_nodes SET created_at = '2020-01-01', pattern_version = '0.9.0'")
    sides.insert([new])
    score(sides, new, 0.5)
    sides.sync("full")
    found = get(sides, "parse")
    assert found is not None
    assert (found.id, found.code, found.quality_tier) == (str(new["id"]), "new = 1", "fair")
    by_id = get(sides, str(old["id"]).upper())
    assert by_id is not None
    assert by_id.code == "old = 1"
    assert get(sides, "nobody") is None


def test_a_collection_without_words_says_which_sync_makes_them(three: TwoSides) -> None:
    plain = replace(three, collection=f"{three.collection}_plain")

    async def make(client: Any) -> None:
        vectors = models.VectorParams(size=64, distance=models.Distance.COSINE)
        await client.create_collection(plain.collection, vectors_config=vectors)

    three.with_client(make)
    with pytest.raises(ConfigurationError, match=r"has no vector 'words' yet.*Run pattern_sync_full once"):
        find(plain, "parse")
    assert find(plain, "parse", mode="meaning").hits == ()


def test_a_collection_that_is_not_there(three: TwoSides) -> None:
    with pytest.raises(ConfigurationError, match=r"has no collection 'nothing'. Run pattern_sync_full"):
        find(replace(three, collection="nothing"), "parse")


def test_after_a_change_of_model_readers_search_with_the_one_of_their_collection(three: TwoSides) -> None:
    longer = three.with_embedding(dimension=128)
    assert names(find(longer, "parse header", mode="meaning"))[0] == "parse_header"
    other = three.with_embedding(model="hashing-v2")
    with pytest.raises(ConfigurationError, match=r"made by 'hashing-v1'.*makes those of 'hashing-v2' with 64"):
        find(other, "parse header", mode="meaning")


def test_between_the_built_in_embedder_and_a_model_nobody_asks_the_wrong_one(
    three: TwoSides, embedding_server: EmbeddingServer
) -> None:
    embedding_server.dimension = 64
    served = three.with_embedding(api="openai", model="m", base_url=embedding_server.url)
    for mode in ("auto", "meaning", "hybrid", "similar"):
        answer = find(served, "def parse_header(line): ...", mode=mode)
        assert names(answer)[0] == "parse_header"
        assert answer.mode == ("words" if mode == "auto" else mode)
    assert embedding_server.requests == 0
    served.sync("full")
    assert find(served, "parse header").mode == "hybrid"
    asked = embedding_server.requests
    assert find(three, "parse header").mode == "words"
    with pytest.raises(ConfigurationError, match=r"made by 'm'.*makes those of 'hashing-v1'"):
        find(three, "parse header", mode="meaning")
    assert embedding_server.requests == asked


def test_an_embedded_storage_that_another_process_has_open(three: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    if not three.qdrant.path:
        pytest.skip("a server serves many")
    monkeypatch.setattr(searcher, "EMBEDDED_WAIT_SECONDS", 0.1)

    async def run() -> None:
        other = await open_client(three.qdrant)
        try:
            async with open_searcher(three.as_reader, three.qdrant, three.embedding, three.collection) as opened:
                with pytest.raises(BusyStorageError, match="in use by another process"):
                    await opened.search(SearchQuery(text="parse"))
                await other.close()
                assert (await opened.search(SearchQuery(text="parse"))).hits
        finally:
            await other.close()

    asyncio.run(run())


def test_many_searches_share_the_connections_of_one_searcher(three: TwoSides) -> None:
    async def run() -> None:
        async with open_searcher(three.as_reader, three.qdrant, three.embedding, three.collection) as opened:
            answers = await asyncio.gather(*(opened.search(SearchQuery(text="parse")) for _ in range(8)))
            assert {answer.hits for answer in answers} == {answers[0].hits}
            sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
            [(own,)] = three.execute("SELECT pg_backend_pid()")
            [(count,)] = three.execute(sessions, (own,))
            # The one that counts is another session than the one that was asked for its number.
            assert count - 1 <= 4

    asyncio.run(run())


def test_a_search_ends_in_time(served: TwoSides, qdrant_server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    served.insert([pattern("parse")])
    served.sync("full")
    slow = replace(served, qdrant=replace(served.qdrant, url=qdrant_server.url))
    monkeypatch.setattr(searcher, "SEARCH_SECONDS", 0.3)
    qdrant_server.meet("read", Fault(delay=1.0))
    with pytest.raises(OutageError, match=r"took longer than 0 s and was given up"):
        find(slow, "parse")


def test_servers_that_are_down_are_outages(three: TwoSides) -> None:
    with pytest.raises(OutageError, match=r"connection 'patterns_postgres'"):
        find(replace(three, postgres=replace(three.postgres, host="127.0.0.1", port=1)), "parse")
    unreachable = replace(three.qdrant, path="", url="http://127.0.0.1:1")
    with pytest.raises(OutageError, match=r"connection 'patterns_qdrant'"):
        find(replace(three, qdrant=unreachable), "parse")


def test_a_lost_session_is_opened_again_by_the_next_search(
    three: TwoSides, postgres_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    [(database,)] = three.execute("SELECT quote_ident(current_database())")

    async def run() -> list[SearchAnswer]:
        async with open_searcher(three.as_reader, three.qdrant, three.embedding, three.collection) as opened:
            before = await opened.search(SearchQuery(text="parse header"))
            server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
            three.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'code_patterns search'"
            )
            # Nobody asks meanwhile, so nothing is opened, and there is nothing to log.
            await asyncio.sleep(0.2)
            server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
            return [before, await opened.search(SearchQuery(text="parse header"))]

    with connected(postgres_server) as server:
        before, after = asyncio.run(run())
    assert names(after) == names(before) == ["parse_header", "read_config"]
    assert [record.name for record in caplog.records if record.name.startswith("asyncpg")] == []


def test_fields_that_contradict_each_other(three: TwoSides) -> None:
    with pytest.raises(WrongQueryError, match=r"either the field 'text' or the field 'similar_to'"):
        find(three, "parse", similar_to="parse_header")
    with pytest.raises(WrongQueryError, match=r"The mode 'words' needs the field 'text'"):
        find(three, mode="words")
