"""Kinds of code that a reader grades otherwise than their bare shape suggests; the gold set has shown each of them."""

import pytest

from code_patterns.quality import QualityScore, score_pattern
from code_patterns.quality.comments import comment_words

PURPOSE = "Return the orders of a customer, the newest first."
ALL_IS_TOLD = (
    PURPOSE + " The customer is an id, orders of deleted customers are found too. The result has at most a hundred "
    "orders; older ones are left out, and nobody is told. An unknown customer raises an error of kind LookupError."
)


def score(code: str, language: str = "python", **fields: object) -> QualityScore:
    return score_pattern({"code": code, "language": language, **fields})


THIN = [
    ("python", "def name(self):\n    return self._name"),
    ("python", "def __init__(self, a, b):\n    '''Keep both.'''\n    self.a = a\n    self.b = b"),
    ("python", "def close(self):\n    self._connection.close()"),
    ("python", "def send(self, x, *more: list[int] | None):\n    return self.inner.send(x, *more, wait=True)"),
    ("javascript", "get size () { return this.items.length }"),
    ("javascript", "write (...args) { return this.#inner.write('x', ...args) }"),
    ("typescript", "constructor(public a: string, private b?: number[]) {}"),
    ("typescript", "constructor(o: Options) { this.name = o.name; this.size = o.size }"),
    ("go", 'func (r *replace) String() string { return fmt.Sprintf("<%v>", r.v) }'),
    ("java", "public void add(final double operand) { this.value += operand; }"),
    ("java", "public Memoizer(final Function<I, O> f) { this(f, false); }"),
    ("rust", "fn index(&self, i: usize) -> &T { &(*self.b)[i] }"),
    ("c", "int POOL_resize(POOL_ctx* ctx, size_t n) { (void)ctx; (void)n; return 0; }"),
    ("cpp", "Point::Point(int x, int y) : x_(x), y_(y) {}"),
    ("csharp", "public int Get(int i) => map[i];\npublic void Stop() { timer.Stop(); }"),
    ("ruby", "def initialize(site)\n  @site = site\n  @content = {}\nend"),
    ("bash", 'add() {\n  local hook="$1"\n  hooks[${#hooks[@]}]="$hook"\n}'),
]
REAL = [
    ("python", "def total(self):\n    return sum(self.prices) * self.tax"),
    ("python", "def close(self):\n    if self._connection:\n        self._connection.close()"),
    ("python", "def later(self):\n    return lambda: self.x"),
    ("python", f"def levels():\n    return {list(range(20))}"),
    ("python", f"def usage():\n    print({'Say this. ' * 40!r})"),
    ("javascript", "function f (a) { return [a].map((b) => b) }"),
    ("go", "func f(a []int) int { return len(a) * a[0] }"),
    ("java", "double tax(double amount) { return amount * RATE / 100.0; }"),
    ("rust", "fn f(&self) -> u32 { self.a.load() + self.b.load() }"),
    ("c", "int f(int a) { a = g(a); return h(a); }"),
    ("ruby", "def f(a)\n  @cache[a] ||= a.sub('x', 'y')\nend"),
    ("bash", "usage() {\n  cat <<EOF\n" + "Say this, and a little more.\n" * 10 + "EOF\n}"),
]


@pytest.mark.parametrize(("language", "code"), THIN)
def test_a_step_to_something_else_is_half_complete(language: str, code: str) -> None:
    result = score(code, language)
    assert result.reading.reason is None
    assert result.completeness == 0.5


@pytest.mark.parametrize(("language", "code"), REAL)
def test_code_that_does_something_is_complete(language: str, code: str) -> None:
    result = score(code, language)
    assert result.reading.reason is None
    assert result.completeness == 1.0


def test_a_getter_takes_nothing_from_the_class_it_belongs_to() -> None:
    getters = "".join(f"    def get_{n}(self):\n        return self.{n}\n" for n in "abcde")
    real = "    def total(self):\n        return sum(self.a) * self.b\n"
    stub = "    def later(self):\n        pass\n"
    assert score("class A:\n" + getters).completeness == 0.5
    assert score("class A:\n" + getters + real).completeness == 1.0
    assert score("class A:\n" + getters + real + stub).completeness == 0.5


@pytest.mark.parametrize(
    ("language", "alone", "within"),
    [
        ("python", "@abstractmethod\ndef get(self): ...", "class S(ABC):\n    @abstractmethod\n    def get(self): ..."),
        ("java", "abstract int get(int key);", "interface S { int get(int key); }"),
        ("go", "func Append(s []Type, e ...Type) []Type", "type S interface { Get(key int) int }"),
        ("rust", "fn get(&self) -> u8;", "trait S { fn get(&self) -> u8; }"),
    ],
)
def test_an_interface_is_whole_and_one_of_its_methods_alone_is_a_stub(language: str, alone: str, within: str) -> None:
    assert score(alone, language).completeness == 0.0
    assert score(within, language).completeness == 1.0


def documented(docstring: str) -> str:
    return f"def orders(customer):\n    {docstring!r}\n    found = load(customer)\n    return newest(found)[:100]\n"


def test_a_sentence_is_half_of_what_can_be_said() -> None:
    nothing, sentence, everything = (score(documented(text)).documentation for text in ("", PURPOSE, ALL_IS_TOLD))
    assert nothing == 0.0
    assert sentence == pytest.approx(0.85 * 0.5, abs=0.05)
    assert everything == 0.85


def test_what_is_told_in_full_needs_neither_comments_nor_hints() -> None:
    bare = score(documented(ALL_IS_TOLD))
    assert score(documented(ALL_IS_TOLD).replace("(customer):", "(customer: int) -> list:")) == bare
    ruby = "# " + ALL_IS_TOLD + "\ndef orders(customer)\n  found = load(customer)\n  newest(found).first(100)\nend"
    assert score(ruby, "ruby").documentation == bare.documentation


def test_comments_and_hints_fill_a_part_of_what_is_left() -> None:
    commented = documented("").replace("    return", "    # The cache holds a hundred, hence no more.\n    return")
    hinted = documented("").replace("(customer):", "(customer: int) -> list:")
    assert score(commented).documentation == pytest.approx(0.85 * 0.5)
    assert score(hinted).documentation == pytest.approx(0.85 * 0.25, abs=1e-4)


@pytest.mark.parametrize(
    "line",
    [
        "// if (cs instanceof String) {",
        '//     throw new DriverOptionNotSetError("host");',
        "// }",
        "# if line.strip() == '': continue (soon):",
        "# rhs = []",
        "# one, two = line.split('->')",
        "# productions.append(Production(lhs, *rhs))",
        "/* free(buffer); */",
        "# TODO: handle the rest of the cases",
        "// todo: better error for browser env",
        "/* XXX: Inefficient. */",
        "# FIXME",
        "# noqa: E501",
    ],
)
def test_code_and_open_ends_in_comments_explain_nothing(line: str) -> None:
    assert comment_words(line) == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("# The caller holds the lock; hence no second check;", 9),
        ("// We only need the u-coordinate. Since y=Y/Z, this gives u.", 13),
        ("# In the example above, this would be {T3: str}", 9),
        ("// returns the newest (or none)", 5),
        ("# for the cache, see the page", 6),
        ("/** Opens with {@code open(x);} */", 5),
    ],
)
def test_prose_in_comments_is_counted(line: str, words: int) -> None:
    assert comment_words(line) == words


def test_a_long_line_is_taken_for_prose_without_a_search() -> None:
    assert comment_words("# " + "(a.b=" * 10_000) > 0


def test_nothing_declared_pays_less_the_more_there_is_to_follow() -> None:
    branches = [f"    if x == {n}:\n        x += {n}\n" for n in range(12)]
    found = [score("def f(x):\n" + "".join(branches[:count]) + "    return x\n").complexity for count in (1, 7, 12)]
    assert found == [0.7, 0.5, 0.3]


def test_leaving_early_is_no_stub_where_no_parser_can_read() -> None:
    head = "proc f {a} {\n  set b [g $a]\n  if {$b < 1} {\n"
    early, late = (head + line + "  }\n  puts [h $b]\n}\n" for line in ("    return\n", ""))
    assert score(early, "tcl").completeness == score(late, "tcl").completeness > 0.5
