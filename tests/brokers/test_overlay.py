"""Operators change what is offered with a file of their own, and are told what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from alibroker.brokers.api import ServiceOffering
from alibroker.brokers.catalog import CatalogError, load_offerings
from alibroker.brokers.overlay import Overlay, merged

BASE = {
    "services": [
        {
            "id": "service-1",
            "name": "drawers",
            "description": "Drawers",
            "bindable": True,
            "metadata": {"displayName": "Drawers", "longDescription": "Of wood"},
            "plans": [
                {
                    "id": f"plan-{name}",
                    "name": name,
                    "description": f"A {name} one",
                    "maximum_polling_duration": 60,
                    "settings": {"size": size, "wood": "oak"},
                }
                for name, size in (("small", 1), ("large", 9))
            ],
        }
    ]
}


def changed(tmp_path: Path, *services: dict[str, Any]) -> ServiceOffering:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE), encoding="utf-8")
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"services": list(services)}), encoding="utf-8")
    (found,) = load_offerings(tmp_path / "base.yaml", overlay=Overlay(overlay))
    return found


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE), encoding="utf-8")
    plain = load_offerings(tmp_path / "base.yaml")
    assert load_offerings(tmp_path / "base.yaml", overlay=Overlay(None)) == plain


def test_members_are_merged_replaced_and_removed(tmp_path: Path) -> None:
    found = changed(
        tmp_path,
        {
            "name": "drawers",
            "description": "Better drawers",
            "metadata": {"longDescription": None, "supportUrl": "https://example.org"},
            "plans": [{"name": "small", "settings": {"size": 2}}],
        },
    )
    assert found.description == "Better drawers"
    assert found.metadata == {"displayName": "Drawers", "supportUrl": "https://example.org"}
    small, large = found.plans
    assert small.settings == {"size": 2, "wood": "oak"}
    assert large.settings == {"size": 9, "wood": "oak"}


def test_a_plan_is_hidden_and_known(tmp_path: Path) -> None:
    found = changed(tmp_path, {"id": "service-1", "plans": [{"id": "plan-large", "hidden": True}]})
    assert [(plan.name, plan.hidden) for plan in found.plans] == [("small", False), ("large", True)]


def test_a_service_is_hidden_with_all_its_plans(tmp_path: Path) -> None:
    found = changed(tmp_path, {"name": "drawers", "hidden": True})
    assert all(plan.hidden for plan in found.plans)


def test_a_new_plan_is_like_another(tmp_path: Path) -> None:
    new = {"id": "plan-huge", "name": "huge", "like": "large", "settings": {"size": 99}}
    found = changed(
        tmp_path, {"name": "drawers", "plans": [{"name": "large", "hidden": True}, new]}
    )
    huge = found.plans[2]
    assert (huge.id, huge.settings, huge.hidden) == (
        "plan-huge",
        {"size": 99, "wood": "oak"},
        False,
    )
    assert found.plans[1].settings["size"] == 9


def test_a_plan_that_is_named_by_its_id_can_be_renamed(tmp_path: Path) -> None:
    found = changed(tmp_path, {"name": "drawers", "plans": [{"id": "plan-small", "name": "tiny"}]})
    assert found.plans[0].name == "tiny"


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ({"plans": [{"name": "middle"}]}, "no plan 'middle' but small, large"),
        ({"plans": [{"name": "x", "id": "y", "like": "middle"}]}, "no plan 'middle'"),
        ({"plans": [{"name": "huge", "like": "large"}]}, "needs an id and a name"),
        ({"plans": [{"name": "small", "colour": "red"}]}, "colour"),
        ({"plans": [{"name": "small", "description": ""}]}, "description is not 1 to 255"),
        ({"plans": [{"name": "a", "id": "plan-large", "like": "small"}]}, "is used by"),
        ({"bindable": "perhaps"}, "bindable"),
        ({"plans": "all"}, "plans"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(
    tmp_path: Path, service: dict[str, Any], text: str
) -> None:
    with pytest.raises(CatalogError, match=text) as caught:
        changed(tmp_path, {"name": "drawers", **service})
    assert str(caught.value).startswith("ALIBROKER_CATALOG: ")
    assert "overlay.yaml" in str(caught.value)


def test_the_line_is_named_where_a_plan_is(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"overlay\.yaml, line \d+: service 'drawers', plan"):
        changed(tmp_path, {"name": "drawers", "plans": [{"name": "small", "description": ""}]})


@pytest.mark.parametrize("text", ["", "services: 3", "plans: []", "services: [3]", ":", "- a"])
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError):
        Overlay(path)


def test_a_service_that_nobody_offers_is_refused(tmp_path: Path) -> None:
    offered = [changed(tmp_path, {"name": "drawers"})]
    path = tmp_path / "other.yaml"
    path.write_text("services: [{name: cupboards}]", encoding="utf-8")
    with pytest.raises(CatalogError, match="no plugin offers 'cupboards'; there are: drawers"):
        Overlay(path).check(offered)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ],
)
def test_patches_are_merged_as_rfc_7396_has_it(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result
