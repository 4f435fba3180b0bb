"""What the brokers can ask of the cloud and read from its answers, collected from their code."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import vendor_models

ROOT = Path(__file__).resolve().parents[2] / "brokers"
PRODUCTS = {"rds": ("rds", "vpc", "sts"), "oss": ("ram", "sts"), "alibabacloud": ("sts",)}
"""The products that each folder calls; of actions with the same name, the first one's is meant."""
_SDK = "aliyunsdkrds.request.v20140815."
_NAME = re.compile(r"[A-Z]\w+")
_SENT = re.compile(r"add_(?:query|body)_params?\(\s*'(\w+)")

_OF_USERS = ("parameters", "wanted")
"""How variables are called that hold what users and not the cloud have said."""

Action = tuple[str, str]
"""Product and action; the product oss is that of buckets, whose actions are those of policies."""


@cache
def actions() -> dict[Action, set[str]]:
    """Return the parameters that are named in the code, by action."""
    found: dict[Action, set[str]] = {}
    for folder in PRODUCTS:
        for tree in _trees(folder):
            for scope in _scopes(tree):
                for action, names in _sent(folder, scope):
                    found.setdefault(action, set()).update(names)
    return found


@cache
def fields() -> dict[str, set[str]]:
    """Return the names, by folder, that are read somewhere and are fields of what it asks for.

    Refusals have a RequestId, too, and no model.
    """
    answered = {product: set[str]() for product in vendor_models.PACKAGES}
    for product, action in actions():
        if product in answered:
            answered[product] |= set(_named(product, f"{action}ResponseBody")) - {"RequestId"}
    return {
        folder: {
            name
            for tree in _trees(folder)
            for name in _read(tree)
            if any(name in answered[product] for product in products)
        }
        for folder, products in PRODUCTS.items()
    }


def _trees(folder: str) -> Iterator[ast.Module]:
    for path in sorted((ROOT / folder).glob("*.py")):
        yield ast.parse(path.read_text())


def _scopes(tree: ast.Module) -> Iterator[list[ast.AST]]:
    """Yield the nodes of each function, and of each call outside of functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    for scope in (*functions, *(call for call in calls if id(call) not in inside)):
        yield list(ast.walk(scope))


def _sent(folder: str, scope: list[ast.AST]) -> Iterator[tuple[Action, set[str]]]:
    calls = [node for node in scope if isinstance(node, ast.Call)]
    requests: dict[str, type] = {}
    for node in scope:
        if isinstance(node, ast.Assign) and (made := _request_class(node.value)) is not None:
            requests |= {one.id: made for one in node.targets if isinstance(one, ast.Name)}
    sent: dict[Action, set[str]] = {_action_of(made): set() for made in requests.values()}
    for call in calls:
        target = call.func
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            made = requests.get(target.value.id)
            if made is not None and target.attr in vars(made):
                setter = inspect.getsource(vars(made)[target.attr])
                sent[_action_of(made)] |= set(_SENT.findall(setter))
        if (action := _named_action(folder, call)) is not None:
            names = {one.arg for one in call.keywords if one.arg and _NAME.fullmatch(one.arg)}
            sent.setdefault(action, set()).update(names)
    # Whatever is put into a dictionary beside the call.
    keys = {
        key.value
        for node in scope
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    if "AssumeRoleWithOIDC" in {node.value for node in scope if isinstance(node, ast.Constant)}:
        sent["sts", "AssumeRoleWithOIDC"] = set()
    for (product, name), names in sent.items():
        is_known = product in vendor_models.PACKAGES
        model = vendor_models.request(product, name) if is_known else None
        yield (product, name), names | (keys & (model or {}).keys())


def _request_class(node: ast.expr) -> type | None:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    name = node.func.id
    if not name.endswith("Request") or name == "CommonRequest":
        return None
    found: type = getattr(importlib.import_module(_SDK + name), name)
    return found


def _action_of(request: type) -> Action:
    return "rds", request().get_action_name()


def _named_action(folder: str, call: ast.Call) -> Action | None:
    """Return the action that a call names in an argument of its own."""
    texts = [one.value for one in call.args if isinstance(one, ast.Constant)]
    target = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if target == "get":
        return None
    if target == "call" and texts and _NAME.fullmatch(str(texts[0])):
        return "oss", str(texts[0])
    named = [one.id.lower() for one in call.args if isinstance(one, ast.Name)]
    products = [one for one in named if one in vendor_models.PACKAGES]
    for text in texts:
        for product in products or PRODUCTS[folder]:
            if isinstance(text, str) and _NAME.fullmatch(text) and _is_action(product, text):
                return product, text
    return None


def _is_action(product: str, name: str) -> bool:
    return vendor_models.answer(product, name) is not None


def _read(tree: ast.Module) -> Iterator[str]:
    """Yield the names in x["Name"], x.get("Name"), and of lists: items_of(x, "Outer", "Inner")."""
    for node in ast.walk(tree):
        texts: list[ast.expr] = []
        if isinstance(node, ast.Subscript):
            texts = [node.slice]
        elif isinstance(node, ast.Call):
            target = node.func
            if isinstance(target, ast.Attribute) and target.attr == "get":
                texts = [] if ast.unparse(target.value).endswith(_OF_USERS) else node.args
            elif isinstance(target, ast.Name) and target.id in ("items_of", "_items"):
                texts = node.args
        for text in texts:
            if isinstance(text, ast.Constant) and _NAME.fullmatch(str(text.value)):
                yield str(text.value)


def _named(product: str, model: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    for field in (vendor_models.model(product, model) or {}).values():
        yield field.name
        if field.kind not in seen:
            yield from _named(product, field.kind, seen | {field.kind})
