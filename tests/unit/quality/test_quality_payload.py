"""From a payload to the dimensions: fallbacks, broken fields, ONEX conventions, richness and weights."""

from typing import Any

import pytest

from code_patterns.quality import VERSION, score_pattern, version_of
from code_patterns.quality.dimensions import WEIGHTS, tier_of, weights_with, words_of
from code_patterns.quality.payload import confidence_of, read_payload

CODE = 'def f(x: int) -> int:\n    """Add one to a number and give the sum back."""\n    return x + 1\n'
NODE = '''class NodeWriterEffect:
    """Writes rows to the store, one by one, in the order they came.

    Two writers of one store wait for each other: the second sees all rows of the first, or none. A row that the store
    refuses ends the write with its error.
    """

    async def execute_effect(self, contract: Contract) -> Result:
        """Write the rows of a contract and say how many there were.

        An empty contract writes nothing, and the result is zero. The contract is not changed. If the store is away, the
        error goes to the caller, who may try again.
        """
        return Result(await self.store.write(sorted(contract.rows)))
'''
PERFECT = {
    "code": NODE,
    "language": "python",
    "pattern_name": "NodeWriterEffect",
    "node_type": "effect",
    "complexity": "low",
    "confidence": 0.9,
    "description": "Writes the rows of a contract to the store, in order.",
    "use_cases": ["logging", "archiving", "replication"],
    "examples": ["write two rows", "write none"],
    "metadata": {
        name: f"about {name}" for name in ["author", "domain", "team", "license", "tags", "review", "owner", "status"]
    },
}


def test_the_best_pattern_is_excellent() -> None:
    result = score_pattern(PERFECT)
    assert result.dimensions == dict.fromkeys(WEIGHTS, 1.0)
    assert (result.composite, result.tier, result.confidence, result.version) == (1.0, "excellent", 0.9, VERSION)
    assert VERSION == "2.1.0"


@pytest.mark.parametrize("payload", [None, {}, [], "text", 7, {"code": None}, {"code": "", "metadata": None}])
def test_nothing_is_scored_as_nothing(payload: Any) -> None:
    result = score_pattern(payload)
    assert result.reading.parser == "none"
    assert (result.completeness, result.complexity, result.tier) == (0.0, 0.0, "poor")


def test_weights_and_tiers() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    result = score_pattern({"code": CODE, "language": "python"})
    assert result.composite == pytest.approx(sum(WEIGHTS[name] * value for name, value in result.dimensions.items()))
    tiers = [tier_of(value) for value in (1.0, 0.9, 0.8999, 0.7, 0.6999, 0.5, 0.4999, 0.0)]
    assert tiers == ["excellent", "excellent", "good", "good", "fair", "fair", "poor", "poor"]


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_another_weight_of_onex_leaves_the_rest_to_the_other_four(weight: float) -> None:
    weights = weights_with(weight)
    assert list(weights) == list(WEIGHTS)
    assert weights["onex_compliance"] == weight
    assert sum(weights.values()) == pytest.approx(1.0)
    others = [name for name in WEIGHTS if name != "onex_compliance"]
    assert [weights[name] / (1 - weight) if weight < 1 else 0 for name in others] == [
        pytest.approx(WEIGHTS[name] / 0.8 if weight < 1 else 0) for name in others
    ]
    result = score_pattern({"code": CODE, "language": "python"}, weight)
    expected = sum(weights[name] * value for name, value in result.dimensions.items())
    assert result.composite == pytest.approx(expected, abs=1e-4)
    assert result.tier == tier_of(result.composite)
    assert result.dimensions == score_pattern({"code": CODE, "language": "python"}).dimensions


def test_the_version_names_another_weight() -> None:
    named = {weight: version_of(weight) for weight in (0.2, 0.0, 1.0, 0.35, 0.0001)}
    assert list(named.values()) == [VERSION, *(f"{VERSION}+onex{text}" for text in ("0", "1", "0.35", "0.0001"))]
    assert score_pattern({}, 0.0).version == named[0.0]
    assert score_pattern({}).version == VERSION


def test_code_alone_can_be_good_without_onex() -> None:
    plain = {key: value for key, value in PERFECT.items() if key != "node_type"}
    plain |= {"code": NODE.replace("Effect", "").replace("execute_effect", "write"), "pattern_name": "NodeWriter"}
    assert score_pattern(plain).tier == "good"
    assert score_pattern(plain, 0.0).composite == 1.0


def test_fallbacks() -> None:
    read = read_payload({"content_preview": CODE, "pattern_confidence": 0.4, "node_types": ["Reducer", "effect"]})
    assert (read.code, read.confidence, read.node_type, read.name) == (CODE, 0.4, "reducer", "unnamed_pattern")
    assert read_payload({"code": "  ", "content_preview": CODE}).code == CODE
    assert read_payload({"code": CODE, "content_preview": "x"}).code == CODE
    assert read_payload({"text": "About it", "description": "Other"}).description == "About it"
    assert read_payload({"text": None, "description": "Other"}).description == "Other"
    assert read_payload({"metadata": {"description": "Inside", "complexity": "High"}}).description == "Inside"
    assert read_payload({"metadata": {"complexity": "High"}}).complexity == "high"


def test_an_unknown_language_hides_no_known_one() -> None:
    assert read_payload({"language": "unknown", "metadata": {"language": "go"}}).language == "go"
    assert read_payload({"language": "unknown", "file_path": ""}).language is None
    known, unknown = ({"code": CODE, "file_path": "a.py", "language": name} for name in (None, "unknown"))
    assert score_pattern(known) == score_pattern(unknown)


def test_the_embedded_text_is_no_description() -> None:
    text = f"File: a.py\nLanguage: python\nPath: x/a.py\n\nCode:\n{CODE}"
    plain = score_pattern({"code": CODE, "language": "python"})
    assert score_pattern({"code": CODE, "language": "python", "text": text}) == plain
    assert score_pattern({"code": CODE, "language": "python", "text": CODE}) == plain
    assert read_payload({"code": CODE, "text": text, "description": "Adds one."}).description == "Adds one."


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"confidence": 0.5}, 0.5),
        ({"confidence": "0.85"}, 0.85),
        ({"confidence": " 1 "}, 1.0),
        ({"confidence": "high", "pattern_confidence": 0.3}, 0.3),
        ({"confidence": None, "pattern_confidence": "0.3"}, 0.3),
        ({"confidence": [0.9], "pattern_confidence": 0.2}, 0.2),
        ({"confidence": True}, 0.0),
        ({"confidence": float("nan"), "pattern_confidence": 0.1}, 0.1),
        ({"confidence": 85}, 1.0),
        ({"confidence": -1}, 0.0),
        ({"confidence": "1e999"}, 1.0),
        ({"confidence": 10**400}, 0.0),
        ({}, 0.0),
        (None, 0.0),
    ],
)
def test_confidence_of_any_kind(payload: Any, expected: float) -> None:
    assert confidence_of(payload) == expected


def test_a_string_where_a_list_belongs_is_one_item() -> None:
    read = read_payload({"use_cases": "logging", "examples": {"input": 1}, "node_types": "effect"})
    assert (read.use_cases, read.examples, read.node_type) == (1, 1, "effect")
    read = read_payload({"use_cases": ["a", "A ", "", None, "todo", "b"], "examples": 3})
    assert (read.use_cases, read.examples) == (2, 1)


def test_fields_that_say_nothing_do_not_enrich() -> None:
    empty = dict(zip("abcdef", (None, "", "unknown", [], {}, "n/a"), strict=True))
    ids = {"pattern_id": "x", "embedding_hash": "y", "content_hash": "z", "sync_timestamp": "t", "created_at": "u"}
    assert score_pattern({"code": CODE, **empty, **ids, "metadata": empty}).metadata_richness == 0.0
    assert score_pattern({"code": CODE, "domain": "io", "metadata": {"domain": "io"}}).metadata_richness == 0.05
    # What the model makes of a text: the same score must hold after a change of model.
    assert score_pattern({"code": CODE, "truncated": True}).metadata_richness == 0.0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1.0),
        ({"node_type": "NodeEffect"}, 1.0),
        ({"node_type": None, "node_types": ["EFFECT"]}, 1.0),
        ({"node_type": None}, 0.6),
        ({"node_type": "nonsense"}, 0.6),
        ({"node_type": "compute"}, 0.4),
        ({"pattern_name": "writer", "code": NODE.replace("NodeWriterEffect", "Writer")}, 0.75),
        ({"code": NODE.replace("async def", "def").replace("await ", "")}, 0.825),
        ({"code": NODE.replace("execute_effect", "run")}, 0.65),
        ({"node_type": None, "code": NODE.replace("execute_effect", "run")}, 0.3),
        ({"node_type": None, "code": CODE, "pattern_name": "side_effect"}, 0.3),
    ],
)
def test_onex_compliance(changes: dict[str, Any], expected: float) -> None:
    assert score_pattern({**PERFECT, **changes}).onex_compliance == pytest.approx(expected)


@pytest.mark.parametrize(
    ("node_type", "method"),
    [
        ("effect", "execute_effect"),
        ("compute", "execute_compute"),
        ("reducer", "execute_reduction"),
        ("orchestrator", "execute_orchestration"),
    ],
)
def test_each_node_type_has_its_method(node_type: str, method: str) -> None:
    code = NODE.replace("execute_effect", method).replace("Effect", node_type.title())
    payload = {"code": code, "language": "python", "node_type": node_type}
    assert score_pattern(payload).onex_compliance == 1.0


def test_onex_in_other_languages() -> None:
    typescript = "export class NodeWriterEffect { async executeEffect(c: Contract): Promise<void> { await w(c); } }"
    go = "func (n *NodeWriterEffect) ExecuteEffect(c Contract) error { return n.write(c) }"
    for code, language in ((typescript, "typescript"), (go, "go")):
        payload = {"code": code, "language": language, "pattern_name": "NodeWriterEffect", "node_type": "effect"}
        assert score_pattern(payload).onex_compliance == 1.0


def test_words_of_an_identifier() -> None:
    assert words_of("NodeHTTPWriterEffect2") == ["node", "http", "writer", "effect", "2"]
    assert words_of("execute_effect") == ["execute", "effect"]
    assert words_of("side_effects") == ["side", "effects"]
