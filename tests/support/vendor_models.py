"""What the vendor's newest SDKs say about actions: names, types, styles, what is required, values.

Their modules are read as text and never imported: importing all of them takes longer than reading
the few that are asked for, and half of what is said stands in comments.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = {
    "rds": "alibabacloud_rds20140815",
    "ram": "alibabacloud_ram20150501",
    "sts": "alibabacloud_sts20150401",
    "vpc": "alibabacloud_vpc20160428",
}
_REQUIRED = "This parameter is required."
_READ = re.compile(
    r"m\.get\('(\w+)'\) is not None:(?:(?!\) is not None:).)*?self\.(\w+)\b", re.DOTALL
)
_BULLET = re.compile(
    r"^\s*(?:[-*]\s+)?(?:<props=\"\w+\">)?(?:\*\*([\w.-]+)\*\*|`([\w.-]+)`)(?! to )"
)
_STYLE = re.compile(r"tmp_req\.\w+, '(\w+)', '(\w+)'\)|action = '(\w+)'")


@dataclass(frozen=True)
class Field:
    """A parameter, or a field of an answer.

    Attributes:
        name: As it is on the wire.
        kind: str, int, bool, float, or the name of another model; Any for what is not told.
        is_list: Whether there are many.
        required: Whether the documentation says plainly that it has to be there.
        values: The values that the documentation enumerates; empty if it does not.
        style: How a list is written into one parameter: json, simple; empty for Name.1, Name.2.
    """

    name: str
    kind: str
    is_list: bool
    required: bool
    values: frozenset[str]
    style: str = ""


Model = dict[str, Field]


@cache
def _folder(product: str) -> Path:
    spec = importlib.util.find_spec(PACKAGES[product])
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@cache
def _modules(product: str) -> dict[str, str]:
    """Return the module that each model stands in."""
    text = (_folder(product) / "models" / "__init__.py").read_text()
    return {name: module for module, name in re.findall(r"from \.(\w+) import (\w+)", text)}


@cache
def _styles(product: str) -> dict[tuple[str, str], str]:
    """Return how lists are written, by action and parameter: in the client, before its action."""
    found: dict[tuple[str, str], str] = {}
    waiting: dict[str, str] = {}
    for name, style, action in _STYLE.findall((_folder(product) / "client.py").read_text()):
        if not action:
            waiting[name] = style
            continue
        found |= {(action, one): how for one, how in waiting.items()}
        waiting = {}
    return found


@cache
def _module(product: str, module: str) -> dict[str, Model]:
    text = (_folder(product) / "models" / f"{module}.py").read_text()
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    return {node.name: _model(node, text) for node in classes}


def _model(node: ast.ClassDef, text: str) -> Model:
    source = ast.get_source_segment(text, node) or ""
    methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
    made = methods["__init__"].args.args[1:]
    types = {one.arg: ast.unparse(one.annotation) for one in made if one.annotation is not None}
    comments = _comments(source)
    found: Model = {}
    for name, attribute in _READ.findall(source):
        kind = types[attribute].replace("main_models.", "")
        inner = re.fullmatch(r"List\[(.+)\]", kind)
        comment = comments.get(attribute, "")
        found[name] = Field(
            name=name,
            kind=_plain(inner[1] if inner else kind),
            is_list=inner is not None,
            required=_REQUIRED in comment,
            values=_values(comment),
        )
    return found


def _plain(kind: str) -> str:
    return kind if kind.isidentifier() else "Any"


def _comments(source: str) -> dict[str, str]:
    """Return the comment above each assignment in a constructor."""
    found: dict[str, str] = {}
    lines: list[str] = []
    for line in source.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            lines.append(bare[1:].strip())
            continue
        if (assigned := re.fullmatch(r"self\.(\w+) = \1", bare)) is not None:
            found[assigned[1]] = "\n".join(lines)
        lines = []
    return found


def _values(comment: str) -> frozenset[str]:
    _, said, rest = comment.partition("alid values:")
    if not said:
        return frozenset()
    first, _, more = rest.partition("\n")
    found = set(re.findall(r"`([\w.-]+)`", first))
    for line in more.splitlines():
        bullet = _BULLET.match(line)
        if bullet is None or line.startswith(("**For ", ">")):
            continue
        if re.search(r"\*\*[\w.-]+\*\*", line[bullet.end() :].partition(":")[2]):
            return frozenset()  # values for what the line begins with, and for that only
        found.add(bullet[1] or bullet[2])
    # A range is no enumeration.
    if re.search(r"\*\* to \*\*|`? to `?\d", first) or len(found) == 1:
        return frozenset()
    return frozenset(found)


def model(product: str, name: str) -> Model | None:
    """Return a model by its name, or None if the SDK has none of that name."""
    module = _modules(product).get(name)
    return None if module is None else _module(product, module).get(name)


@cache
def request(product: str, action: str) -> Model | None:
    """Return the parameters of an action, or None if there is no such action."""
    found = model(product, f"{action}Request")
    if found is None:
        # Those without parameters have no model of their own.
        return {} if answer(product, action) is not None else None
    styles = _styles(product)
    return {
        name: Field(**{**vars(field), "style": styles.get((action, name), "")})
        for name, field in found.items()
    }


@cache
def answer(product: str, action: str) -> Model | None:
    """Return the fields of an action's answer, or None if there is no such action."""
    return model(product, f"{action}ResponseBody")
