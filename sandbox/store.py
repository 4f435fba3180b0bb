"""What the sandbox remembers: typed documents in memory, written through to SQLite.

Every request is one transaction: it either commits before it is answered or changes nothing.
With a write-ahead log and synchronous=NORMAL a killed process loses nothing that was committed.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView
    from pathlib import Path

T = TypeVar("T", bound=msgspec.Struct)

# Sorts after every other character.
_LAST = "\U0010ffff"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, key)
)"""
# An update keeps the row's place, so that lists keep the order of creation over a restart.
_PUT = """
INSERT INTO documents (kind, key, body) VALUES (?, ?, ?)
ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body"""
_REMOVE = "DELETE FROM documents WHERE kind = ? AND key = ?"
_LOAD = "SELECT key, body FROM documents WHERE kind = ? ORDER BY rowid"


class Table(Generic[T]):
    """The documents of one kind, in order of creation."""

    def __init__(self, store: Store, kind: str, document: type[T]) -> None:
        self._store = store
        self._kind = kind
        self._rows: dict[str, T] = {
            key: msgspec.json.decode(body, type=document) for key, body in store.load(kind)
        }

    def __contains__(self, key: str) -> bool:
        """Tell whether a document has this key."""
        return key in self._rows

    def __len__(self) -> int:
        """Count the documents."""
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        """Walk over the keys."""
        return iter(self._rows)

    def get(self, key: str) -> T | None:
        """Return the document with this key, if there is one."""
        return self._rows.get(key)

    def __getitem__(self, key: str) -> T:
        """Return the document with this key.

        Raises:
            KeyError: No document has it.
        """
        return self._rows[key]

    def keys(self) -> KeysView[str]:
        """Return a view of the keys."""
        return self._rows.keys()

    def values(self) -> ValuesView[T]:
        """Return a view of the documents."""
        return self._rows.values()

    def items(self) -> ItemsView[str, T]:
        """Return a view of keys and documents."""
        return self._rows.items()

    def put(self, key: str, document: T) -> None:
        """Create or replace a document, within the current transaction."""
        self._store.log(self, self._kind, key, self._rows.get(key), document)
        self._rows[key] = document

    def remove(self, key: str) -> None:
        """Remove a document if it is there, within the current transaction."""
        before = self._rows.pop(key, None)
        if before is not None:
            self._store.log(self, self._kind, key, before, None)

    def restore(self, key: str, before: T | None) -> None:
        """Undo a change in memory."""
        if before is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = before


class SortedTable(Table[T]):
    """A table that can also be walked in order of its keys, as OSS lists objects."""

    def __init__(self, store: Store, kind: str, document: type[T]) -> None:
        super().__init__(store, kind, document)
        self._order = sorted(self._rows)

    def put(self, key: str, document: T) -> None:
        """Create or replace a document, within the current transaction."""
        if key not in self._rows:
            insort(self._order, key)
        super().put(key, document)

    def remove(self, key: str) -> None:
        """Remove a document if it is there, within the current transaction."""
        if key in self._rows:
            del self._order[bisect_left(self._order, key)]
        super().remove(key)

    def restore(self, key: str, before: T | None) -> None:
        """Undo a change in memory."""
        if before is None:
            if key in self._rows:
                del self._order[bisect_left(self._order, key)]
        elif key not in self._rows:
            insort(self._order, key)
        super().restore(key, before)

    def count(self, prefix: str) -> int:
        """Count the keys that begin with a prefix."""
        return self._end(prefix) - bisect_left(self._order, prefix)

    def within(self, prefix: str, after: str = "") -> Iterator[T]:
        """Walk over the documents whose keys begin with a prefix and come after a key."""
        start = bisect_left(self._order, prefix)
        if after:
            start = max(start, bisect_right(self._order, after))
        for key in self._order[start : self._end(prefix)]:
            yield self._rows[key]

    def _end(self, prefix: str) -> int:
        return bisect_left(self._order, prefix + _LAST)


class Store:
    """A SQLite file and the changes that the current transaction has made."""

    def __init__(self, path: Path) -> None:
        # Opened while the program starts, used on the event loop's thread afterwards.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(_SCHEMA)
        self._encode = msgspec.json.Encoder().encode
        self._changes: list[tuple[Table, str, str, msgspec.Struct | None]] = []  # type: ignore[type-arg]
        self._after: dict[tuple[str, str], msgspec.Struct | None] = {}

    def load(self, kind: str) -> list[tuple[str, bytes]]:
        """Read all documents of a kind in order of creation."""
        return self._db.execute(_LOAD, (kind,)).fetchall()

    def log(
        self,
        table: Table,  # type: ignore[type-arg]
        kind: str,
        key: str,
        before: msgspec.Struct | None,
        after: msgspec.Struct | None,
    ) -> None:
        """Note a change for commit and rollback."""
        self._changes.append((table, kind, key, before))
        self._after[kind, key] = after

    def changed(self, kind: str) -> list[str]:
        """Return the keys of a kind that the current transaction has changed."""
        return [key for found, key in self._after if found == kind]

    def commit(self) -> None:
        """Write the changes of the current transaction; they survive a kill from here on."""
        if not self._after:
            return
        self._db.execute("BEGIN")
        try:
            for (kind, key), document in self._after.items():
                if document is None:
                    self._db.execute(_REMOVE, (kind, key))
                else:
                    self._db.execute(_PUT, (kind, key, self._encode(document)))
            self._db.execute("COMMIT")
        except BaseException:
            # A full disk, for one; the caller undoes the change in memory.
            self._db.execute("ROLLBACK")
            raise
        self._changes.clear()
        self._after.clear()

    def rollback(self) -> None:
        """Forget the changes of the current transaction."""
        for table, _, key, before in reversed(self._changes):
            table.restore(key, before)
        self._changes.clear()
        self._after.clear()

    def close(self) -> None:
        """Close the file."""
        self._db.close()
