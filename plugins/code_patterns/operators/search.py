"""Find patterns in a DAG: an operator, and the function for ``@task``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from code_patterns.hooks.configured import configured, configured_target
from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.operators.stoppable import StoppableOperator
from code_patterns.operators.task_errors import task_errors
from code_patterns.params import is_set
from code_patterns.search.hit import SearchAnswer
from code_patterns.search.once import search
from code_patterns.search.query import SearchQuery
from code_patterns.search.searcher import open_searcher

if TYPE_CHECKING:
    from airflow.sdk import Context


def search_patterns(text: str = "", *, target: str = "", **fields: Any) -> list[dict[str, Any]]:
    """Find patterns in a task made with ``@task``; return the hits, each as a dict.

    :param text: words, an identifier, a question or code
    :param target: a target of the targets file; empty for the one without a name
    :param fields: further fields of :class:`~code_patterns.search.query.SearchQuery`
    :raises PatternsError: as :func:`code_patterns.search.search`
    """
    return [hit.as_dict() for hit in search(text, target=target, **fields).hits]


class PatternSearchOperator(StoppableOperator):
    """Find patterns, and return the hits as a list of dicts: the fields of :class:`~code_patterns.search.hit.Hit`.

    A field that is empty, or that a template renders as nothing, counts as not set.

    :param text: words, an identifier, a question or code
    :param query: further fields of :class:`~code_patterns.search.query.SearchQuery`, such as ``{"language": "python"}``
    :param target: a target of the targets file, whose connections and collection are meant then
    :param postgres_conn_id: connection of the patterns' database
    :param qdrant_conn_id: connection of Qdrant
    :param embedding_conn_id: connection of the embedding server
    """

    template_fields: Sequence[str] = ("text", "query", "target")
    ui_color = "#2e8b57"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        text: str = "",
        query: dict[str, Any] | None = None,
        target: str = "",
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        qdrant_conn_id: str = PatternsQdrantHook.default_conn_name,
        embedding_conn_id: str = EmbeddingHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.text = text
        self.query = query
        self.target = target
        self.postgres_conn_id = postgres_conn_id
        self.qdrant_conn_id = qdrant_conn_id
        self.embedding_conn_id = embedding_conn_id

    def execute(self, context: "Context") -> list[dict[str, Any]]:
        """Search once and return the hits."""
        with task_errors(context):
            fields = {name: value for name, value in (self.query or {}).items() if is_set(value)}
            text = {"text": str(self.text)} if is_set(self.text) else {}
            query = SearchQuery.read({**text, **fields})
            answer = self.run_work(self._search(query))
        self.log.info("%d hits by %s in %.0f ms.", len(answer.hits), answer.mode, answer.seconds * 1000)
        return [hit.as_dict() for hit in answer.hits]

    async def _search(self, query: SearchQuery) -> SearchAnswer:
        found = (
            # Rendered as a native object, a name of digits is a number.
            configured_target(str(self.target))
            if is_set(self.target)
            else configured(
                postgres_conn_id=self.postgres_conn_id,
                qdrant_conn_id=self.qdrant_conn_id,
                embedding_conn_id=self.embedding_conn_id,
            )
        )
        async with open_searcher(
            found.postgres, found.qdrant, found.embedding, found.collection, found.target
        ) as searcher:
            return await searcher.search(query)
