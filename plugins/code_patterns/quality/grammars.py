"""What the grammars call things: which node types are functions, blocks and decisions in each language.

The names come from each grammar's ``node-types.json``.
"""

import importlib
from dataclasses import dataclass
from functools import cache

from tree_sitter import Language, Parser


def _types(names: str) -> frozenset[str]:
    return frozenset(names.split())


@dataclass(frozen=True)
class Grammar:
    """One language.

    :param language: its name
    :param module: the Python module of its grammar
    :param function: what gives the grammar there
    :param functions: functions and methods that have a body
    :param members: declarations inside a type for which the language asks no body
    :param declarations: declarations that only announce a function defined elsewhere
    :param classes: classes and other named types
    :param blocks: nodes whose children are statements or members
    :param decisions: nodes that add one way through the code
    :param imports: nodes that only name other code
    :param hints: ``True`` where every parameter has a type, ``False`` where one may, ``None`` where none can
    :param marks_async: whether the language marks asynchronous functions
    :param wrapping: text before and after a fragment that is only valid inside a type
    """

    language: str
    module: str
    functions: frozenset[str]
    classes: frozenset[str]
    blocks: frozenset[str]
    decisions: frozenset[str]
    imports: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    declarations: frozenset[str] = frozenset()
    function: str = "language"
    hints: bool | None = True
    marks_async: bool = False
    wrapping: tuple[str, str] | None = None

    @cache  # noqa: B019 - there are a dozen of them, for the life of the process
    def parser(self) -> Parser:
        """Load the grammar, once."""
        return Parser(Language(getattr(importlib.import_module(self.module), self.function)()))


_ECMA_FUNCTIONS = (
    "function_declaration generator_function_declaration function_expression generator_function arrow_function "
    "method_definition"
)
_ECMA_BLOCKS = "program statement_block class_body switch_case switch_default"
_ECMA_DECISIONS = (
    "if_statement for_statement for_in_statement while_statement do_statement switch_case catch_clause "
    "ternary_expression"
)
_ANY_CLASS = ("class _ {\n", "\n}")

JAVASCRIPT = Grammar(
    language="javascript",
    module="tree_sitter_javascript",
    functions=_types(_ECMA_FUNCTIONS),
    classes=_types("class_declaration class"),
    blocks=_types(_ECMA_BLOCKS),
    decisions=_types(_ECMA_DECISIONS),
    imports=_types("import_statement"),
    hints=None,
    marks_async=True,
    wrapping=_ANY_CLASS,
)
_TYPESCRIPT = {
    "module": "tree_sitter_typescript",
    "functions": _types(_ECMA_FUNCTIONS),
    "members": _types("abstract_method_signature method_signature"),
    "declarations": _types("function_signature"),
    "classes": _types(
        "class_declaration abstract_class_declaration class interface_declaration type_alias_declaration "
        "enum_declaration"
    ),
    "blocks": _types(f"{_ECMA_BLOCKS} interface_body object_type enum_body"),
    "decisions": _types(_ECMA_DECISIONS),
    "imports": _types("import_statement"),
    "hints": False,
    "marks_async": True,
    "wrapping": _ANY_CLASS,
}
GRAMMARS = {
    grammar.language: grammar
    for grammar in (
        JAVASCRIPT,
        Grammar(language="typescript", function="language_typescript", **_TYPESCRIPT),  # type: ignore[arg-type]
        Grammar(language="tsx", function="language_tsx", **_TYPESCRIPT),  # type: ignore[arg-type]
        Grammar(
            language="go",
            module="tree_sitter_go",
            functions=_types("function_declaration method_declaration func_literal"),
            members=_types("method_elem"),
            classes=_types("type_spec"),
            blocks=_types("source_file statement_list field_declaration_list interface_type"),
            decisions=_types("if_statement for_statement expression_case type_case communication_case"),
            imports=_types("import_declaration package_clause"),
        ),
        Grammar(
            language="java",
            module="tree_sitter_java",
            functions=_types(
                "method_declaration constructor_declaration compact_constructor_declaration lambda_expression"
            ),
            classes=_types("class_declaration interface_declaration enum_declaration record_declaration"),
            blocks=_types(
                "program block class_body interface_body enum_body constructor_body switch_block_statement_group"
            ),
            decisions=_types(
                "if_statement for_statement enhanced_for_statement while_statement do_statement catch_clause "
                "ternary_expression switch_block_statement_group switch_rule"
            ),
            imports=_types("import_declaration package_declaration"),
            wrapping=_ANY_CLASS,
        ),
        Grammar(
            language="rust",
            module="tree_sitter_rust",
            functions=_types("function_item closure_expression"),
            members=_types("function_signature_item"),
            classes=_types("struct_item enum_item trait_item union_item type_item"),
            blocks=_types("source_file block declaration_list field_declaration_list enum_variant_list"),
            decisions=_types("if_expression while_expression loop_expression for_expression match_arm"),
            imports=_types("use_declaration extern_crate_declaration mod_item"),
            marks_async=True,
        ),
        Grammar(
            language="c",
            module="tree_sitter_c",
            functions=_types("function_definition"),
            members=_types("field_declaration"),
            declarations=_types("declaration"),
            classes=_types("struct_specifier enum_specifier union_specifier type_definition"),
            blocks=_types("translation_unit compound_statement field_declaration_list enumerator_list case_statement"),
            decisions=_types(
                "if_statement for_statement while_statement do_statement case_statement conditional_expression"
            ),
            imports=_types("preproc_include"),
        ),
        Grammar(
            language="cpp",
            module="tree_sitter_cpp",
            functions=_types("function_definition lambda_expression"),
            members=_types("field_declaration"),
            declarations=_types("declaration"),
            classes=_types("class_specifier struct_specifier enum_specifier union_specifier type_definition"),
            blocks=_types(
                "translation_unit compound_statement field_declaration_list declaration_list enumerator_list "
                "case_statement"
            ),
            decisions=_types(
                "if_statement for_statement for_range_loop while_statement do_statement case_statement catch_clause "
                "conditional_expression"
            ),
            imports=_types("preproc_include using_declaration"),
            wrapping=("class _ {\n", "\n};"),
        ),
        Grammar(
            language="csharp",
            module="tree_sitter_c_sharp",
            functions=_types(
                "method_declaration constructor_declaration local_function_statement lambda_expression "
                "anonymous_method_expression operator_declaration"
            ),
            classes=_types(
                "class_declaration interface_declaration struct_declaration enum_declaration record_declaration"
            ),
            blocks=_types("compilation_unit declaration_list block switch_section enum_member_declaration_list"),
            decisions=_types(
                "if_statement for_statement foreach_statement while_statement do_statement catch_clause "
                "conditional_expression switch_section switch_expression_arm"
            ),
            imports=_types("using_directive"),
            marks_async=True,
            wrapping=_ANY_CLASS,
        ),
        Grammar(
            language="ruby",
            module="tree_sitter_ruby",
            functions=_types("method singleton_method lambda"),
            classes=_types("class module"),
            blocks=_types("program body_statement then else do do_block block_body ensure"),
            decisions=_types(
                "if elsif unless if_modifier unless_modifier while until while_modifier until_modifier for when "
                "in_clause rescue rescue_modifier conditional"
            ),
            hints=None,
        ),
        Grammar(
            language="bash",
            module="tree_sitter_bash",
            functions=_types("function_definition"),
            classes=frozenset(),
            blocks=_types("program compound_statement do_group case_item subshell"),
            decisions=_types(
                "if_statement elif_clause for_statement c_style_for_statement while_statement case_item "
                "ternary_expression"
            ),
            hints=None,
        ),
    )
}

OPERATORS = _types("&& || and or")
"""Operators that decide whether their right side runs."""
OPERATOR_PARENTS = _types("binary_expression binary list let_chain")
"""Nodes in which these are operators, and not a reference or a pattern."""
CATCH_ALL = _types("default default_case _ else")
"""First children of a case that is taken when no other is."""
COMMENTS = _types("comment line_comment block_comment")
TRANSPARENT = _types("attribute_item decorator annotation")
"""Nodes that may stand between a comment and what it describes."""
