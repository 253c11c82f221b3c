"""How code is read: what is a stub and what is not, languages, fragments, diffs and cut code."""

import json

import pytest

from code_patterns.quality import QualityScore, score_pattern
from code_patterns.quality.grammars import GRAMMARS
from code_patterns.quality.languages import language_of


def score(code: str, language: str | None = "python", **fields: object) -> QualityScore:
    return score_pattern({"code": code, "language": language, **fields})


@pytest.mark.parametrize(
    "code",
    [
        "def check(user):\n    return user.password == compass(user)",
        "def last(items):\n    return items[...] - items[0] + 1",
        "def last(items):\n    return items[..., 0] / len(items)",
        "def ellipsis(x):\n    return x is Ellipsis or x == 0",
        "from abc import ABC, abstractmethod\nclass Store(ABC):\n    @abstractmethod\n    def get(self, key): ...",
        "class Store(ABC):\n    @abc.abstractmethod\n    def get(self, key):\n        raise NotImplementedError",
        "class Reader(Protocol):\n    def read(self, size: int) -> bytes: ...",
        "class Reader(typing.Protocol[T]):\n    def read(self) -> T:\n        '''Read.'''",
        "@overload\ndef f(x: int) -> int: ...\n@overload\ndef f(x: str) -> str: ...\ndef f(x):\n    return x * 2 + 1",
        "class NotFound(LookupError):\n    pass",
        "class ParseError(Exception):\n    '''Says where.'''",
        "@dataclass\nclass Point:\n    x: int\n    y: int = 0",
        "try:\n    run()\nexcept KeyError:\n    pass",
        "def f():\n    try:\n        run()\n    except KeyError:\n        pass",
        "def f(x):\n    if not x:\n        raise NotImplementedError\n    return x + 1",
    ],
)
def test_what_only_looks_like_a_stub_is_complete(code: str) -> None:
    assert score(code).completeness == 1.0


@pytest.mark.parametrize(
    "code",
    [
        "def f(x): pass",
        "def f(x): ...",
        "async def f(x):\n    '''Doc.'''",
        "def f(x):\n    '''Doc.'''\n    raise NotImplementedError('soon')",
        "def f(x):\n    return None",
        "def f(x):\n    # TODO: write it",
        "def f(\n    x=1,\n    y=(2, 3),\n):\n    # TODO: write it",
        "class A:\n    def f(self): pass\n    def g(self): ...",
        "class A:\n    pass",
        "@overload\ndef f(x: int) -> int: ...",
        "pass",
        "...",
    ],
)
def test_stubs_are_none(code: str) -> None:
    assert score(code).completeness == 0.0


def test_half_a_class_is_half_complete() -> None:
    assert score("class A:\n    def f(self): pass\n    def g(self): return self.x * 2 + 1").completeness == 0.5


STUBS = {
    "javascript": ["function f(a) {}", "const f = (a) => {}", 'function f() { throw new Error("Not implemented"); }'],
    "typescript": ["function f(a: number): void {}", "class A { f(): void { throw new Error('TODO'); } }"],
    "tsx": ["const F = (p: Props) => null;"],
    "go": ["func F(a int) {}", 'func F() { panic("not implemented") }', "func F() error { return nil }"],
    "java": ["int f(int a) { throw new UnsupportedOperationException(); }", "class A { void f() { /* TODO */ } }"],
    "rust": ["fn f() {}", "fn f() -> i32 { todo!() }", 'fn f() -> i32 { unimplemented!("later") }'],
    "c": ["void f(int a) {}", "int f(int a);"],
    "cpp": ['void A::f() { throw std::logic_error("not implemented"); }', "void f() { ; }"],
    "csharp": ["void F() => throw new NotImplementedException();", "class A { void F() { } }"],
    "ruby": ["def f(a); end", "def f\n  raise NotImplementedError\nend", "def f\n  nil\nend"],
    "bash": ["f() { :; }", 'f() { echo "not implemented"; }'],
}


@pytest.mark.parametrize("language", sorted(STUBS))
def test_stubs_of_other_languages(language: str) -> None:
    for code in STUBS[language]:
        result = score(code, language)
        assert result.completeness < 0.3, code
        assert (result.reading.parser, result.reading.language) == ("tree-sitter", language), code


ABSTRACT = {
    "typescript": "interface Store { get(key: string): string; }",
    "java": "interface Store { String get(String key); }",
    "go": "type Store interface { Get(key string) string }",
    "rust": "trait Store { fn get(&self, key: &str) -> String; }",
    "csharp": "abstract class Store { public abstract string Get(string key); }",
    "cpp": "class Store { public: virtual int get(int key) = 0; };",
}


@pytest.mark.parametrize("language", sorted(ABSTRACT))
def test_what_has_no_body_by_right_is_complete(language: str) -> None:
    assert score(ABSTRACT[language], language).completeness == 1.0


CLAMP = {
    "python": """
def clamp(values, low, high):
    \"\"\"Keep every value between low and high, and drop the missing ones.\"\"\"
    kept = []
    for value in values:
        if value is None:
            continue
        # The bounds themselves are allowed values.
        if value < low or value > high:
            value = low if value < low else high
        kept.append(value)
    return kept
""",
    "javascript": """
/** Keep every value between low and high, and drop the missing ones. */
function clamp(values, low, high) {
    const kept = [];
    for (let value of values) {
        if (value === null) {
            continue;
        }
        // The bounds themselves are allowed values.
        if (value < low || value > high) {
            value = value < low ? low : high;
        }
        kept.push(value);
    }
    return kept;
}
""",
    "go": """
// Keep every value between low and high, and drop the missing ones.
func clamp(values []*int, low int, high int) []int {
	kept := []int{}
	for _, value := range values {
		if value == nil {
			continue
		}
		// The bounds themselves are allowed values.
		if *value < low || *value > high {
			if *value < low {
				*value = low
			} else {
				*value = high
			}
		}
		kept = append(kept, *value)
	}
	return kept
}
""",
    "java": """
/** Keep every value between low and high, and drop the missing ones. */
static List<Integer> clamp(List<Integer> values, int low, int high) {
    List<Integer> kept = new ArrayList<>();
    for (Integer value : values) {
        if (value == null) {
            continue;
        }
        // The bounds themselves are allowed values.
        if (value < low || value > high) {
            value = value < low ? low : high;
        }
        kept.add(value);
    }
    return kept;
}
""",
    "ruby": """
# Keep every value between low and high, and drop the missing ones.
def clamp(values, low, high)
  kept = []
  for value in values
    next if value.nil?
    # The bounds themselves are allowed values.
    if value < low || value > high
      value = value < low ? low : high
    end
    kept << value
  end
  kept
end
""",
}


@pytest.mark.parametrize("declared", [None, "low", "medium", "high"])
def test_the_same_function_scores_alike_in_every_language(declared: str | None) -> None:
    scores = {language: score(code, language, complexity=declared) for language, code in CLAMP.items()}
    for language, result in scores.items():
        assert result.reading.parser == ("ast" if language == "python" else "tree-sitter")
        assert abs(result.completeness - scores["python"].completeness) <= 0.1, language
        assert abs(result.complexity - scores["python"].complexity) <= 0.1, language
        assert result.cyclomatic == 6, language
        assert result.documentation > 0.3


BRANCHES = {
    "javascript": "function f(a) { if (a && b) { for (;;) {} } switch (a) { case 1: } try {} catch (e) {} }",
    "typescript": "function f(a: number) { if (a && b) { while (a) {} } return a ? b : a || 1; }",
    "go": "func f() { if a && b { for {} }; switch x { case 1: default: } }",
    "java": "void f() { if (a && b) { for (int x : y) {} } switch (a) { case 1: break; default: g(); } }",
    "rust": "fn f() { if a && b { loop {} } match a { 1 => g(), _ => h() } }",
    "c": "void f() { if (a && b) { for (;;) {} } switch (a) { case 1: break; default: g(); } }",
    "cpp": "void f() { if (a && b) { for (auto x : y) {} } try { g(); } catch (...) { h(); } }",
    "csharp": "void F() { if (a && b) { foreach (var x in y) {} } switch (a) { case 1: break; default: break; } }",
    "ruby": "def f\n  if a && b\n    while c do d end\n  end\n  g unless h\nend",
    "bash": "f() { if [ $a ] && [ $b ]; then for x in y; do z; done; fi; case $a in b) c;; *) d;; esac; }",
}


@pytest.mark.parametrize("language", sorted(BRANCHES))
def test_decisions_are_counted_alike(language: str) -> None:
    assert score(BRANCHES[language], language).cyclomatic == {"javascript": 6, "typescript": 6}.get(language, 5)


def test_every_grammar_loads_and_is_tested() -> None:
    assert set(GRAMMARS) == set(STUBS)


@pytest.mark.parametrize(
    ("code", "language"),
    [
        (
            "get(key) { return this.map[key] + 2 * this.x; }\nasync put(key, value) { await map.set(key, value); }",
            "javascript",
        ),
        ("private int size() { return items.length * width + 1; }", "java"),
        ("    def method(self):\n        return self.x * 2 + 1\n", "python"),
        ("public async Task<int> Get(int a) { return await db.Find(a + 1); }", "csharp"),
    ],
)
def test_members_without_their_class_are_parsed(code: str, language: str) -> None:
    result = score(code, language)
    assert result.reading.reason is None
    assert result.completeness == 1.0


DIFF = """diff --git a/x.py b/x.py
--- a/x.py
+++ b/x.py
@@ -1,4 +1,5 @@
 def total(items):
-    return sum(items)
+    result = sum(item.price for item in items)
+    return round(result, 2)
"""


@pytest.mark.parametrize(
    ("code", "language", "reason"),
    [
        (CLAMP["python"][:290], "python", "no valid Python"),
        (DIFF, "python", "a diff"),
        ("print 'hello'\nfoo = bar(1)", "python", "no valid Python"),
        (CLAMP["javascript"][:250], "javascript", "no valid javascript"),
        ("SELECT id FROM users WHERE age > 18 AND name = 'x';", "sql", "no grammar for sql"),
        ("fun main() { println(1 + 2) }", "kotlin", "no grammar for kotlin"),
        ("x => x + 1", None, "the language is not known"),
        ("def f(): return 1\x00", "python", "no valid Python"),
    ],
)
def test_what_no_parser_reads_is_scored_and_says_so(code: str, language: str | None, reason: str) -> None:
    result = score(code, language)
    assert result.reading.parser == "text"
    assert reason in (result.reading.reason or "")
    assert 0.3 < result.completeness <= 0.8


@pytest.mark.parametrize("code", ["def f(", "function f() {", "Just a sentence about patterns.", "class A:\n    def"])
def test_heads_and_prose_are_no_code(code: str) -> None:
    assert score(code, None).completeness == 0.0


def test_python_is_recognised_without_being_named() -> None:
    assert score("def f(x):\n    return x + 1", None).reading.parser == "ast"


@pytest.mark.parametrize(
    ("declared", "path", "expected"),
    [
        ("Python", None, "python"),
        ("py3", "x.js", "python"),
        ("C++", None, "cpp"),
        ("C#", None, "csharp"),
        ("shell", None, "bash"),
        ("golang", None, "go"),
        (None, "src/App.TSX", "tsx"),
        ("typescript", "src/App.tsx", "tsx"),
        ("unknown", "lib\\a.rb", "ruby"),
        ("kotlin", "a.py", "kotlin"),
        (None, "Makefile", None),
        ("", "", None),
    ],
)
def test_language_by_name_and_by_file(declared: str | None, path: str | None, expected: str | None) -> None:
    assert language_of(declared, path) == expected


def test_strings_that_have_no_end_are_looked_for_once() -> None:
    """Code that was encoded twice has nothing but escaped quotes, and one line."""
    twice = json.dumps(json.dumps({f"key {number}": f"it's {number}" for number in range(20_000)}))[2:-2]
    found = score(twice, "json")
    assert (found.reading.parser, found.cyclomatic) == ("text", 1)
    assert score(r"x = 'a\'b\'" + "\n" + "y = 'if'", "basic").cyclomatic == 1
    assert score(r"x = 'a\'b\'; if y" + "\n" + "z = 1", "basic").cyclomatic == 2
