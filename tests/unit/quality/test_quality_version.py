"""A score means something only together with the version of the definitions: all change at once, the page too."""

import hashlib
import json
import re

from code_patterns.quality import VERSION, score_pattern
from code_patterns.quality.dimensions import TIERS, WEIGHTS
from tests.conftest import ROOT
from tests.unit.quality.test_quality_code import ABSTRACT, BRANCHES, CLAMP, DIFF, STUBS
from tests.unit.quality.test_quality_payload import NODE, PERFECT

SCORES_OF = {"2.0.0": "ea98a187c068a5af", "2.1.0": "c23b7ed8560352db"}
"""For each version, a digest of the scores of fixed code. Another digest needs another version."""


def test_other_scores_need_another_version() -> None:
    codes = [(code, language) for language, code in (*ABSTRACT.items(), *BRANCHES.items(), *CLAMP.items())]
    codes += [(code, language) for language, some in STUBS.items() for code in some]
    codes += [(NODE, "python"), (NODE, None), (DIFF, "python"), (CLAMP["python"][:290], "python"), ("", None)]
    fields = [{}, {"complexity": "low"}, {key: value for key, value in PERFECT.items() if key != "code"}]
    scores = [
        score_pattern({"code": code, "language": language, **other}).dimensions
        for code, language in codes
        for other in ({**some, **({} if language is None else {"language": language})} for some in fields)
    ]
    digest = hashlib.sha256(json.dumps(scores).encode()).hexdigest()[:16]
    assert SCORES_OF.get(VERSION) == digest, "the definitions changed: change VERSION, docs/quality.md and this digest"


def test_the_page_gives_the_numbers_of_the_code() -> None:
    page = (ROOT / "docs" / "quality.md").read_text("utf-8")
    assert f"version **{VERSION}**" in page
    for name, weight in WEIGHTS.items():
        assert re.search(rf"\| {name} \| {weight:.2f} \|", page), name
    for tier, least in TIERS:
        assert f"**{tier}** " + (f"from {least:g}" if least else "below") in page, tier
