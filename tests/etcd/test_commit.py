"""What a commit of several entries promises."""

import pytest

from alibroker.etcd.client import MAX_BYTES, MAX_ENTRIES, Committed, Entry, Etcd, KeyValue, Lost


def put(etcd: Etcd, key: str, value: bytes = b"old", expected: int = 0) -> int:
    (outcome,) = etcd.commit([Entry(key, value, expected)], timeout=5)
    assert isinstance(outcome, Committed)
    return outcome.revision


def test_an_entry_is_readable_at_the_revision_of_its_commit(etcd: Etcd, prefix: str) -> None:
    outcomes = etcd.commit([Entry(prefix + "a", b"1", 0), Entry(prefix + "b", b"2", 0)], timeout=5)
    revision = etcd.ping(timeout=5)
    assert outcomes == [Committed(revision), Committed(revision)]
    assert etcd.read([prefix + "b", prefix + "none", prefix + "a"], timeout=5) == [
        KeyValue(prefix + "b", b"2", revision),
        None,
        KeyValue(prefix + "a", b"1", revision),
    ]


def test_a_lost_compare_loses_only_its_own_entry(etcd: Etcd, prefix: str) -> None:
    revision = put(etcd, prefix + "taken")
    outcomes = etcd.commit(
        [
            Entry(prefix + "a", b"1", 0),
            Entry(prefix + "taken", b"2", 0),
            Entry(prefix + "never", b"3", 7),
            Entry(prefix + "b", b"4", 0),
        ],
        timeout=5,
    )
    assert [type(outcome) for outcome in outcomes] == [Committed, Lost, Lost, Committed]
    assert outcomes[1] == Lost(KeyValue(prefix + "taken", b"old", revision))
    assert outcomes[2] == Lost(None)
    assert [
        found and found.value
        for found in etcd.read([prefix + name for name in ("a", "taken", "never", "b")], timeout=5)
    ] == [b"1", b"old", None, b"4"]


def test_the_revision_of_a_commit_is_what_the_next_one_compares(etcd: Etcd, prefix: str) -> None:
    first = put(etcd, prefix + "a")
    second = put(etcd, prefix + "a", b"new", first)
    assert second > first
    assert etcd.commit([Entry(prefix + "a", b"late", first)], timeout=5) == [
        Lost(KeyValue(prefix + "a", b"new", second))
    ]


def test_a_delete_compares_too(etcd: Etcd, prefix: str) -> None:
    first = put(etcd, prefix + "a")
    second = put(etcd, prefix + "a", b"new", first)
    key = prefix + "a"
    assert isinstance(etcd.commit([Entry(key, None, first)], timeout=5)[0], Lost)
    assert isinstance(etcd.commit([Entry(key, None, second)], timeout=5)[0], Committed)
    assert etcd.read([key], timeout=5) == [None]
    assert etcd.commit([Entry(key, None, second)], timeout=5) == [Lost(None)]


def test_a_guard_that_has_changed_loses_the_entry(etcd: Etcd, prefix: str) -> None:
    owner = put(etcd, prefix + "owner")
    record = put(etcd, prefix + "record")
    stolen = put(etcd, prefix + "owner", b"other", owner)
    outcomes = etcd.commit(
        [
            Entry(prefix + "record", b"stale", record, guards=((prefix + "owner", owner),)),
            Entry(prefix + "x", b"1", 0, guards=((prefix + "owner", stolen), (prefix + "no", 0))),
        ],
        timeout=5,
    )
    # The revision is the expected one: it was the guard that failed.
    assert outcomes[0] == Lost(KeyValue(prefix + "record", b"old", record))
    assert isinstance(outcomes[1], Committed)


def test_guards_see_the_state_before_the_batch(etcd: Etcd, prefix: str) -> None:
    owner = put(etcd, prefix + "owner")
    outcomes = etcd.commit(
        [
            Entry(prefix + "owner", b"next", owner),
            Entry(prefix + "a", b"1", 0, guards=((prefix + "owner", owner),)),
        ],
        timeout=5,
    )
    assert [type(outcome) for outcome in outcomes] == [Committed, Committed]


def test_an_identical_entry_is_lost_unless_it_is_in_doubt(etcd: Etcd, prefix: str) -> None:
    entry = Entry(prefix + "a", b"mine", 0)
    other = Entry(prefix + "b", b"mine", 0)
    (first,) = etcd.commit([entry], timeout=5)
    put(etcd, prefix + "b", b"theirs")
    assert isinstance(etcd.commit([entry], timeout=5)[0], Lost)
    outcomes = etcd.commit([entry, other], timeout=5, in_doubt=True)
    assert outcomes[0] == first
    assert isinstance(outcomes[1], Lost)


def test_an_entry_in_doubt_that_others_have_overwritten_is_found_in_the_history(
    etcd: Etcd, prefix: str
) -> None:
    before = put(etcd, prefix + "a")
    entry = Entry(prefix + "a", b"mine", before)
    (first,) = etcd.commit([entry], timeout=5)
    assert isinstance(first, Committed)
    last = first.revision
    for value in (b"1", b"2", b"3"):
        last = put(etcd, prefix + "a", value, last)
    assert etcd.commit([entry], timeout=5, in_doubt=True) == [first]
    never = Entry(prefix + "a", b"never", before)
    lost = Lost(KeyValue(prefix + "a", b"3", last))
    assert etcd.commit([never], timeout=5, in_doubt=True) == [lost]


def test_a_delete_in_doubt_is_committed_when_the_key_is_gone(etcd: Etcd, prefix: str) -> None:
    entry = Entry(prefix + "a", None, put(etcd, prefix + "a"))
    etcd.commit([entry], timeout=5)
    assert isinstance(etcd.commit([entry], timeout=5, in_doubt=True)[0], Committed)


def test_the_largest_batch_is_taken(etcd: Etcd, prefix: str) -> None:
    guards = tuple((f"{prefix}guard{number}", 0) for number in range(25))
    entries = [Entry(f"{prefix}{number:03}", b"", 0, guards) for number in range(MAX_ENTRIES)]
    room = (MAX_BYTES - sum(entry.size for entry in entries)) // MAX_ENTRIES
    full = [Entry(entry.key, b"x" * room, 0, guards) for entry in entries]
    assert all(isinstance(outcome, Committed) for outcome in etcd.commit(full, timeout=10))


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([Entry(f"/k/{number}", b"", 0) for number in range(MAX_ENTRIES + 1)], "at most 100"),
        ([Entry("/k", b"x" * MAX_BYTES, 0)], "bytes in one commit"),
        ([Entry("/k", b"1", 0), Entry("/k", b"2", 0)], "written twice"),
        ([Entry("/k", None, 0)], "absence"),
        (
            [
                Entry(f"/k/{number}", b"", 0, tuple((f"/g/{guard}", 0) for guard in range(26)))
                for number in range(MAX_ENTRIES)
            ],
            "guards",
        ),
    ],
)
def test_a_batch_beyond_the_limits_is_refused_at_once(
    etcd: Etcd, entries: list[Entry], complaint: str
) -> None:
    before = etcd.ping(timeout=5)
    with pytest.raises(ValueError, match=complaint):
        etcd.commit(entries, timeout=5)
    assert etcd.ping(timeout=5) == before


def test_an_empty_batch_is_no_call(etcd: Etcd) -> None:
    assert etcd.commit([], timeout=0) == []


def test_more_keys_are_read_than_fit_into_one_call(etcd: Etcd, prefix: str) -> None:
    keys = [f"{prefix}{number:03}" for number in range(250)]
    for start in range(0, 250, 50):
        some = keys[start : start + 50 : 2]
        etcd.commit([Entry(key, key.encode(), 0) for key in some], timeout=5)
    found = etcd.read(keys, timeout=5)
    assert [one and one.key for one in found] == [
        key if number % 2 == 0 else None for number, key in enumerate(keys)
    ]
