"""Makes docs/osb.md from the code: which test holds the broker to which rule of the OSB API.

The rules have short names of this project's own; the conformance command uses the same.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from alibroker.conformance.rules import all_checks

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "osb.md"

HEAD = """# The OSB API, rule by rule

Made from the code by `make docs`; a test compares. alibroker speaks versions 2.13 to 2.17 of the
[Open Service Broker API](https://github.com/cloudfoundry/servicebroker). This page says which test
holds it to which rule. *Checks* are those of `.venv/bin/alibroker conformance`, which runs against
any broker, and in the test suite against this one ([conformance.md](conformance.md)). *Tests* look
at what cannot be seen from outside, or only with a plugin that behaves in a certain way.

Where the specification leaves a choice, this is what was chosen:

- A request without version header is answered 412, or 400 if `ALIBROKER_MISSING_VERSION` says so.
- *The same* request names the same service, plan, organization, space and parameters (for a
  binding: parameters, application, route and predecessor). Context, headers and
  `accepts_incomplete` do not count.
- A poll after a deletion has succeeded is answered `succeeded` for `ALIBROKER_RESULT_LIFETIME`, or
  410 if `ALIBROKER_DELETED_POLL` says so; after that, and for ids that are unknown, 404.
- An instance that has bindings is not deleted: 422 `BindingsExist`.
- An update merges its parameters into those in force; `{}` changes nothing. A parameter that is
  `null` where its schema has no null is not given, and an update takes it back.
- An optional member of the API that is `null` or `""` is not given: platforms written in Go send
  them so. That goes for `bind_resource` and `maintenance_info` too, whose members the API defines.
- What is the platform's own is never a reason to refuse: numbers of any size in a `context`, and an
  originating identity that cannot be read, of which the platform's name is kept.
- `AsyncRequired` is answered where an operation would begin or goes on. What is so already, or
  gone, is 200 or 410 without `accepts_incomplete` as well.
- After a change of plan, a deletion may name the earlier one, and so may a repeated bind.
- A request that repeats a creation that failed and left nothing behind starts it again.
- A rotation may leave out service, plan and parameters, which are then the instance's,
  and its predecessor's.
"""

# What is not the conformance command's to check, in our own words.
OTHERS = {
    "ASY-1": ("SHOULD", "A synchronous answer where that is possible, an asynchronous one else"),
    "ASY-4": ("MUST", "What goes on after the answer is answered 202"),
    "BND-13": ("MUST", "What a binding holds is shown at least once"),
    "ERR-7": ("SHOULD", "After a 5xx, too, nothing has changed"),
    "FI-5": ("MUST", "While an update runs, fetching shows what is in force"),
    "PAR-1": ("SHOULD", "Parameters are checked"),
    "POLL-5": ("SHOULD", "The result of an operation is not forgotten at once"),
    "UNB-2": ("MUST", "Everything that belongs to a binding is deleted with it"),
    "UPD-11": ("MUST", "A dashboard's URL comes with the first answer to an update"),
    "UPD-16": ("MUST", "While a plan changes, polls name the old one"),
    "UPD-2": ("MUST", "What an update does not name stays as it is"),
    "UPD-5": ("MUST", "A plan changes only if the one in force allows it"),
    "URL-2": ("SHOULD", "Ids of unreserved characters work"),
    "AUTH-4": ("SHOULD", "TLS is offered"),
    "AUTH-6": ("MAY", "Several platforms, each with a name and password of its own"),
    "DEP-5": ("MUST", "An instance whose deletion failed is still there"),
    "META-1": ("MAY", "Metadata of an instance is told"),
    "MI-6": ("MAY", "Fetching tells the maintenance version in force"),
    "PAR-2": ("MAY", "Parameters that are wrong are answered 400"),
    "UPD-13": ("SHOULD", "A failed update says whether instance and request are still of use"),
}


def marked_tests() -> dict[str, list[str]]:
    """Return by rule the tests that name it."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(".osb"):
                    for argument in decorator.args:
                        rule = ast.literal_eval(argument)
                        found[rule].append(f"`{file.relative_to(ROOT)}` {node.name}")
    return found


def document() -> str:
    """Return the whole page."""
    checks: dict[str, list[str]] = defaultdict(list)
    titles: dict[str, tuple[str, str]] = dict(OTHERS)
    for check in all_checks():
        for rule in check.rules:
            checks[rule].append(f"`{check.name}`")
            titles.setdefault(rule, (str(check.level), check.title))
    tests = marked_tests()
    for rule in tests:
        titles.setdefault(rule, ("", ""))
    lines = ["| rule | level | what | checks | tests |", "| --- | --- | --- | --- | --- |"]
    for rule in sorted(titles, key=lambda name: (name.split("-")[0], int(name.split("-")[1]))):
        level, title = titles[rule]
        lines.append(
            f"| {rule} | {level} | {title} | {', '.join(checks[rule])} "
            f"| {'<br>'.join(tests.get(rule, []))} |"
        )
    return HEAD + "\n" + "\n".join(lines) + "\n"


def untested() -> list[str]:
    """Return the rules that nothing tests."""
    tests = marked_tests()
    checked = {rule for check in all_checks() for rule in check.rules}
    return [rule for rule in OTHERS if rule not in checked and rule not in tests]


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
