"""Mutants of a source file: the operators of cosmic-ray, one mutation per place and kind."""

import ast
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from parso.tree import NodeOrLeaf

Position = tuple[int, int]

# cosmic-ray replaces each symbol by every other. Most of the results raise a TypeError at once, so
# these replacements are used, which are the hardest to notice.
_BINARY = {
    *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul"),
    *("BitAnd_BitOr", "BitOr_BitAnd", "BitXor_BitOr", "LShift_RShift", "RShift_LShift"),
}
_COMPARISONS = {
    *("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt"),
    *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is", "In_NotIn", "NotIn_In"),
}
_KIND = re.compile(r"core/(ReplaceBinary|ReplaceComparison|ReplaceUnary)Operator_(\w+)")


class Mutant(NamedTuple):
    """One mutation of one file."""

    path: str
    operator: str
    occurrence: int
    line: int
    column: int

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line}:{self.column} {self.operator.removeprefix('core/')}"

    def source(self) -> str:
        """The mutated source."""
        operator = cosmic_ray.plugins.get_operator(self.operator)()
        return mutate_code(Path(self.path).read_text(), operator, self.occurrence)

    def difference(self) -> str:
        """The mutated lines, before and after."""
        lines = Path(self.path).read_text().splitlines(), self.source().splitlines()
        changed = [pair for pair in zip(*lines, strict=False) if pair[0] != pair[1]]
        if not changed or len(lines[0]) != len(lines[1]):
            return f"without {lines[0][self.line - 1].strip()}"
        return " / ".join(f"{before.strip()}  ->  {after.strip()}" for before, after in changed[:1])


def mutants_of(path: str, seed: int) -> list[Mutant]:
    """One mutant for each place and kind of mutation, chosen at random among its replacements."""
    choices: dict[tuple[str, Position], list[Mutant]] = {}
    skipped = _spans_not_run(path)
    nodes = list(ast_nodes(get_ast(Path(path).read_text())))
    for operator in cosmic_ray.plugins.operator_names():
        kind = _KIND.fullmatch(operator)
        allowed = {"ReplaceBinary": _BINARY, "ReplaceComparison": _COMPARISONS}
        if kind and kind[1] in allowed and kind[2] not in allowed[kind[1]]:
            continue
        for mutant in _occurrences(path, nodes, operator):
            place = mutant.line, mutant.column
            if not any(start <= place < end for start, end in skipped):
                choices.setdefault((kind[1] if kind else operator, place), []).append(mutant)
    rng = random.Random(f"{seed} {path}")
    return sorted(rng.choice(mutants) for mutants in choices.values())


def _occurrences(path: str, nodes: list[NodeOrLeaf], operator_name: str) -> Iterator[Mutant]:
    operator_class = cosmic_ray.plugins.get_operator(operator_name)
    if operator_class.arguments():
        return
    operator = operator_class()
    positions = ((node, start) for node in nodes for start, _ in operator.mutation_positions(node))
    for occurrence, (node, (line, column)) in enumerate(positions):
        # cosmic-ray takes the * of a signature for a product.
        if node.parent is None or node.parent.type not in ("parameters", "argument", "star_expr"):
            yield Mutant(path, operator_name, occurrence, line, column)


def _spans_not_run(path: str) -> list[tuple[Position, Position]]:
    """Spans of annotations and type aliases, which are not part of the behaviour."""
    spans = []
    for node in ast.walk(ast.parse(Path(path).read_text())):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            found.append(node.returns)
        elif isinstance(node, ast.Assign) and _names_a_type(node):
            found.append(node.value)
        spans += [
            ((item.lineno, item.col_offset), (item.end_lineno or 0, item.end_col_offset or 0))
            for item in found
            if item is not None
        ]
    return spans


def _names_a_type(node: ast.Assign) -> bool:
    (target,) = node.targets
    return (
        isinstance(target, ast.Name)
        and not target.id.isupper()
        and isinstance(node.value, ast.BinOp | ast.Subscript)
        and target.id.strip("_")[0].isupper()
    )
