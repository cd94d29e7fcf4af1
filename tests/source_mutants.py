"""Wrong versions of a module: its source with one operator, bound or word changed at a time."""

from __future__ import annotations

import ast
import copy
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Node type of an operator -> what it becomes.
OPERATORS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip
WORDS = {"min": "max", "max": "min"}
Change = Callable[[ast.AST], ast.AST]


def mutants(module: types.ModuleType) -> Iterator[str]:
    """Every wrong version of the module's functions by name; each is in force until the next is asked for."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    for function in (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)):
        for place, node in enumerate(_nodes(function)):
            for what, change in _changes(node):
                wrong = copy.deepcopy(function)
                target = _nodes(wrong)[place]
                _Replace(target, change(copy.deepcopy(target))).visit(wrong)
                with _in_force(wrong, module):
                    yield f"{module.__name__.rpartition('.')[2]}.{function.name}: {ast.unparse(node)}: {what}"


def _nodes(function: ast.FunctionDef) -> list[ast.AST]:
    """Every node of a function's body, annotations left out."""
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    hints = {id(part) for node in nodes if isinstance(node, ast.AnnAssign) for part in ast.walk(node.annotation)}
    return [node for node in nodes if id(node) not in hints]


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield "the other comparison", lambda n: _set(n, ops=[OPERATORS[type(n.ops[0])]()])
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield "the other operator", lambda n: _set(n, op=OPERATORS[type(n.op)]())
        yield "left side only", lambda n: n.left
        yield "right side only", lambda n: n.right
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert | ast.Not):
        yield "not negated", lambda n: n.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "the other constant", lambda n: _set(n, value=not n.value)
    if isinstance(node, ast.Attribute) and node.attr in WORDS:
        yield WORDS[node.attr], lambda n: _set(n, attr=WORDS[n.attr])
    if isinstance(node, ast.If | ast.IfExp):
        yield "negated", lambda n: _set(n, test=ast.UnaryOp(op=ast.Not(), operand=n.test))


def _set(node: ast.AST, **values: object) -> ast.AST:
    for name, value in values.items():
        setattr(node, name, value)
    return node


class _Replace(ast.NodeTransformer):
    def __init__(self, target: ast.AST, by: ast.AST) -> None:
        self.target = target
        self.by = by

    def visit(self, node: ast.AST) -> ast.AST:
        return self.by if node is self.target else self.generic_visit(node)


@contextmanager
def _in_force(function: ast.FunctionDef, module: types.ModuleType) -> Iterator[None]:
    """The function does what the changed source says, for whoever imported it too."""
    tree = ast.fix_missing_locations(ast.Module(body=[function], type_ignores=[]))
    names = dict(vars(module))
    exec(compile(tree, f"mutant of {module.__file__}", "exec"), names)
    real = getattr(module, function.name)
    code = real.__code__
    real.__code__ = names[function.name].__code__
    try:
        yield
    finally:
        real.__code__ = code
