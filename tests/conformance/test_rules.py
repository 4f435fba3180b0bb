"""Each important check is shown to be able to fail, and to fail alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from model_broker import ModelBroker

OPTIONS = ("--service", "vault", "--poll-interval", "0.001", "--timeout", "10")

BROKEN_MUST = {
    "services-missing": {"catalog-is-an-object-with-services"},
    "ids-twice": {"ids-are-unique"},
    "names-twice": {"names-are-unique"},
    "plan-undescribed": {"plans-are-complete"},
    "bindable-text": {"offerings-are-complete"},
    "requires-odd": {"offerings-require-what-exists"},
    "tags-text": {"offerings-have-right-types"},
    "free-text": {"plans-have-right-types"},
    "duration-text": {"polling-duration-is-an-integer"},
    "not-semantic": {"maintenance-info-is-semantic"},
    "no-draft": {"schemas-stand-alone"},
    "outside-reference": {"schemas-stand-alone"},
    "schema-array": {"schemas-are-objects"},
    "ids-change": {"ids-stay"},
    "polls-are-open": {"bad-credentials-are-refused"},
    "any-password": {"bad-credentials-are-refused"},
    "403": {"bad-credentials-are-refused"},
    "version-500": {"garbage-as-version-breaks-nothing"},
    "version-400": {"other-versions-are-refused-properly"},
    "identity-500": {"malformed-identity-breaks-nothing"},
    "identity-refused": {"originating-identity-is-accepted"},
    "malformed-422": {
        "bodies-that-are-no-objects-are-refused",
        "other-bodies-that-are-no-objects-are-refused",
    },
    "json-500": {"odd-json-breaks-nothing"},
    "odd-id-500": {"odd-ids-break-nothing"},
    "space-optional": {"missing-members-are-refused"},
    "types-accepted": {
        "wrong-types-are-refused",
        "incomplete-binds-are-refused",
        "update-with-wrong-types-is-refused",
    },
    "refused-but-created": {"refusals-leave-nothing-behind"},
    "unknown-members-refused": {"unknown-members-are-ignored"},
    "unknown-offers-accepted": {
        "unknown-offers-are-refused",
        "binds-of-unknown-offers-are-refused",
    },
    "async-unasked": {"synchronous-provision-is-done-or-refused", "asynchrony-was-permitted"},
    "created-200": {"synchronous-provision-is-done-or-refused"},
    "operation-changes": {
        "identical-provisions-make-one",
        "identical-binds-make-one",
        "repeated-provision-joins",
        "repeated-bind-joins",
        "repeated-unbind-joins",
        "repeated-deprovision-joins",
    },
    "operation-long": {"operations-are-short"},
    "running-is-different": {
        "identical-provisions-make-one",
        "identical-binds-make-one",
        "repeated-provision-joins",
        "repeated-bind-joins",
    },
    "different-is-same": {
        "different-provision-conflicts-while-creating",
        "different-provision-is-a-conflict",
        "different-bind-conflicts-while-binding",
        "different-bind-is-a-conflict",
    },
    "concurrency-500": {
        "different-requests-are-refused",
        "different-provision-conflicts-while-creating",
        "different-bind-conflicts-while-binding",
    },
    "fetch-while-creating": {
        "unfinished-instances-are-not-found",
        "unfinished-bindings-are-not-found",
    },
    "odd-state": {"polls-have-a-state"},
    "unknown-operation-400": {"unknown-operations-break-no-poll"},
    "polls-need-query": {"polls-need-no-query"},
    "unknown-polls-410": {
        "polls-of-unknown-instances-are-not-found",
        "polls-of-unknown-bindings-are-not-found",
    },
    "creation-fails": {"provision-succeeds"},
    "maintenance-ignored": {"maintenance-conflict-at-provision", "maintenance-conflict-at-update"},
    "lost-during-update": {"instances-are-there-during-updates"},
    "plan-changes-anyway": {"undeclared-plan-changes-are-refused"},
    "unknown-polls-500": {
        "polls-of-unknown-instances-are-not-found",
        "polls-of-unknown-bindings-are-not-found",
    },
    "update-needs-nothing": {"update-without-service-is-refused"},
    "any-plan": {"update-to-unknown-plan-is-refused"},
    "no-context-updates": {"context-updates-are-accepted"},
    "dashboard-late": {"dashboard-comes-first"},
    "dashboard-empty": {"dashboard-is-a-url"},
    "credentials-early": {"no-credentials-too-early"},
    "no-credentials": {"fetched-binding-has-credentials"},
    "credentials-text": {"fetched-binding-has-credentials"},
    "anonymous-422": {"bind-without-app-is-done-or-refused"},
    "drain-unpermitted": {"bindings-keep-to-permissions"},
    "ports-are-numbers": {"binding-data-has-its-form"},
    # What is gone cannot be deleted either.
    "rotation-replaces": {"both-bindings-are-there", "unbind-is-accepted"},
    "delete-needs-nothing": {
        "incomplete-unbinds-are-refused",
        "incomplete-deprovisions-are-refused",
    },
    "deleting-conflicts": {"repeated-unbind-joins", "repeated-deprovision-joins"},
    "creation-cannot-stop": {"orphans-can-be-deleted", "unbinding-what-is-being-created"},
    "fetch-after-delete": {
        "deprovisioned-instances-are-not-found",
        "unbound-bindings-are-not-found",
    },
    "error-empty": {"errors-have-texts"},
    "usable-everywhere": {"usability-is-where-it-belongs"},
    "gone-is-an-array": {"answers-are-objects"},
}

BROKEN_SHOULD = {
    "no-echo": "request-identity-is-echoed",
    "silent-401": "refusals-tell-how",
    "version-optional": "missing-version-is-refused",
    "no-higher-minor": "higher-minor-versions-are-accepted",
    "etag-ignored": "etag-is-honoured",
    "operation-null": "no-nulls",
    "retry-soon": "retry-after-is-a-number",
    "texts-of-its-own": "descriptions-are-literal",
    "shared-credentials": "credentials-differ",
    "not-draft-4": "schemas-are-draft-4",
    "name-with-blanks": "names-are-easy-to-type",
    "long-description": "strings-are-short",
    "query-twice-500": "repeated-query-parameters-break-nothing",
    "bind-any-plan": "binds-of-another-plan-are-refused",
    "rebind-any-plan": "repeated-binds-of-another-plan-are-refused",
    "delete-any-plan": "deprovisions-of-another-plan-are-refused",
    "unknown-plan-404": "unknown-instances-of-unknown-plans-are-gone",
    "no-reason": "bound-instances-are-kept-for-a-reason",
    "bindings-outlive": "bindings-do-not-outlive-their-instance",
    "dashboard-secret": "catalog-suits-cloud-foundry",
}


@pytest.mark.parametrize("asynchronous_only", [False, True])
def test_a_broker_that_follows_all_rules_passes(
    serve_wsgi: Callable[[Any], str], conform: Any, *, asynchronous_only: bool
) -> None:
    broker = ModelBroker(asynchronous_only=asynchronous_only)
    run = conform(serve_wsgi(broker), *OPTIONS, "--strict", exit_code=0)
    assert run.failed() == set(), run.explain()
    assert broker.things == {}
    # What could not be looked at because it was over too soon would pass unseen.
    assert [
        one["check"]
        for one in run.document["results"]
        if "the operation ended too soon to look at it" in one["remarks"]
    ] == []


ROTATION = ("earlier-bindings-can-be-rotated", "rotation-takes-the-plan-of-the-instance")


def test_bindings_are_rotated_after_a_change_of_plan(
    reach_inside: Callable[[Any], str], conform: Any
) -> None:
    broker = ModelBroker(plans_change=True)
    run = conform(reach_inside(broker), *OPTIONS, exit_code=0)
    # It is one of those that want to be told service and plan.
    assert run.failed() == {ROTATION[1]}, run.explain()
    assert run.outcome(ROTATION[0]) == "pass"
    assert "up to 4 instances and 8 bindings" in run.result.stderr
    assert broker.things == {}
    broker = ModelBroker("rotation-within-a-plan", plans_change=True)
    run = conform(reach_inside(broker), *OPTIONS, exit_code=1)
    assert run.failed("MUST", "SHOULD") == {ROTATION[0]}, run.explain()
    assert broker.things == {}


@pytest.mark.parametrize("fault", ["any-plan", "plan-cannot-change"])
def test_where_the_plan_does_not_change_no_rotation_is_tried(
    reach_inside: Callable[[Any], str], conform: Any, fault: str
) -> None:
    """Whether the catalog says so, or the update fails."""
    broker = ModelBroker(fault, plans_change=fault == "plan-cannot-change")
    run = conform(reach_inside(broker), *OPTIONS, "--only", ROTATION[0], exit_code=0)
    assert run.outcome(ROTATION[0]) == ("not applicable" if fault == "any-plan" else "skipped")
    assert broker.things == {}
    assert bool(broker.ended) is (fault == "plan-cannot-change")


@pytest.mark.parametrize("fault", sorted(BROKEN_MUST))
def test_a_broken_must_is_found_and_nothing_else(
    reach_inside: Callable[[Any], str], conform: Any, fault: str
) -> None:
    broker = ModelBroker(fault)
    options = () if fault == "services-missing" else OPTIONS
    run = conform(reach_inside(broker), *options, "--quiet", exit_code=1)
    assert run.failed("MUST") == BROKEN_MUST[fault], run.explain()


@pytest.mark.parametrize("fault", sorted(BROKEN_SHOULD))
def test_a_broken_should_is_a_warning(
    reach_inside: Callable[[Any], str], conform: Any, fault: str
) -> None:
    url = reach_inside(ModelBroker(fault))
    run = conform(url, *OPTIONS, "--quiet", exit_code=0)
    assert run.failed("SHOULD") == {BROKEN_SHOULD[fault]}, run.explain()
    assert run.failed("MUST") == set(), run.explain()


def test_a_broker_need_not_have_updates_unless_its_catalog_says_so(
    reach_inside: Callable[[Any], str], conform: Any
) -> None:
    url = reach_inside(ModelBroker("no-updates"))
    run = conform(url, *OPTIONS, exit_code=1)
    assert run.failed("MUST") == {
        "update-without-service-is-refused",
        "update-with-wrong-types-is-refused",
        "maintenance-conflict-at-update",
        "context-updates-are-accepted",
    }
    run = conform(url, "--service", "lamp", *OPTIONS[2:], exit_code=0)
    assert run.failed() == set(), run.explain()
    assert run.outcome("update-without-service-is-refused") == "not applicable"


def test_what_has_never_been_there_to_look_at_does_not_pass(
    reach_inside: Callable[[Any], str], conform: Any
) -> None:
    run = conform(reach_inside(ModelBroker()), "--only", "CAT-1,LI-2,BND-7,OP-3,BND-9")
    passed = {one["check"] for one in run.document["results"] if one["result"] == "pass"}
    assert "catalog-is-an-object-with-services" in passed
    assert passed.isdisjoint(
        {"polls-have-a-state", "no-credentials-too-early", "operations-are-short"}
    )


def test_a_deletion_that_should_have_been_refused_does_not_end_the_walk(
    reach_inside: Callable[[Any], str], conform: Any
) -> None:
    run = conform(reach_inside(ModelBroker("delete-needs-nothing")), *OPTIONS, exit_code=1)
    for check in ("deprovision-succeeds", "deprovisioned-instances-are-gone", "polls-after-unbind"):
        assert run.outcome(check) == "pass"
    assert run.outcome("orphans-can-be-deleted") == "pass"


def test_names_that_differ_in_case_are_two_names(
    reach_inside: Callable[[Any], str], conform: Any
) -> None:
    run = conform(reach_inside(ModelBroker("names-by-case")), "--only", "CAT-7", exit_code=0)
    assert run.outcome("names-are-unique") == "pass"
