"""Synonyms in questions."""

from code_patterns.embeddings.synonyms import GROUPS, SYNONYM_WEIGHT
from code_patterns.embeddings.words import matched, words_of_code, words_of_question
from tests.support.words import words_of_one


def test_a_question_has_the_synonyms_of_its_words_with_little_weight() -> None:
    asked = words_of_question("delete a folder")
    weights = dict(zip(asked.indices.tolist(), asked.values.tolist(), strict=True))
    [removed] = words_of_code("removing").indices.tolist()
    [deleted] = words_of_code("deleted").indices.tolist()
    assert weights[deleted] == 1.0
    assert round(weights[removed], 6) == SYNONYM_WEIGHT
    assert sorted(weights) == asked.indices.tolist()
    assert matched(asked, "def remove_directory(path): ...") == ["remove_directory"]


def test_a_word_of_the_question_keeps_its_weight_beside_its_synonym() -> None:
    asked = words_of_question("remove or delete")
    weights = dict(zip(asked.indices.tolist(), asked.values.tolist(), strict=True))
    assert [weights[term] for term in words_of_code("remove delete").indices.tolist()] == [1.0, 1.0]


def test_patterns_and_code_have_no_synonyms() -> None:
    [deleted] = words_of_code("delete").indices.tolist()
    assert deleted not in words_of_one(("remove",), "remove").indices
    assert deleted not in words_of_code("remove").indices


def test_a_group_has_several_single_words() -> None:
    for group in GROUPS:
        assert len(set(group)) == len(group) >= 2
        for word in group:
            assert len(words_of_code(word).indices) == 1, word
