"""The relationships of tables: foreign keys, junction tables and functions that return rows of another table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key of a table, or of a view that shows its columns. `pairs` are (own column, column of the target)."""

    name: str
    source: str
    target: str
    pairs: Pairs
    is_unique: bool
    has_view_target: bool = False


@dataclass(frozen=True)
class Junction:
    """A table between two others; `pairs` are (own column, column of the embedded table)."""

    table: str
    first: str
    second: str
    pairs: Pairs


@dataclass(frozen=True)
class Relationship:
    """The join of an embedded table to its parent: pairs of (column of the parent, column of the other side).

    The other side is the embedded table, or the junction. `function` is the computed relationship that gives the rows.
    """

    table: str
    is_many: bool
    pairs: Pairs
    key: str = ""
    is_to_target: bool = False
    is_one_to_one: bool = False
    junction: Junction | None = None
    function: str | None = None

    def hint(self) -> str:
        """The text that chooses this relationship."""
        return f"{self.table}!{self.junction.table if self.junction else self.key}"

    def details(self, parent: str) -> dict[str, str]:
        """The relationship as PostgREST describes it in an error."""
        ours, theirs = (", ".join(pair[side] for pair in self.pairs) for side in (0, 1))
        if self.junction:
            kind, far = "many-to-many", ", ".join(own for own, _ in self.junction.pairs)
            text = f"{self.junction.table} using {self.junction.first}({theirs}) and {self.junction.second}({far})"
        else:
            kind = "one-to-many" if self.is_many else "one-to-one" if self.is_one_to_one else "many-to-one"
            text = f"{self.key} using {parent}({ours}) and {self.table}({theirs})"
        return {"cardinality": kind, "embedding": f"{parent} with {self.table}", "relationship": text}


def with_views(keys: list[ForeignKey], views: Mapping[str, Mapping[str, set[str]]]) -> tuple[ForeignKey, ...]:
    """The foreign keys, also of and to the views that show all their columns under the same names.

    `views` has the columns that each view shows of each of its tables.
    """
    found = list(keys)
    for key in keys:
        own, theirs = ({pair[side] for pair in key.pairs} for side in (0, 1))
        sources = [view for view, tables in views.items() if own <= tables.get(key.source, set())]
        targets = [view for view, tables in views.items() if theirs <= tables.get(key.target, set())]
        found += [replace(key, source=view) for view in sources]
        found += [
            replace(key, source=source, target=view, has_view_target=True)
            for view in targets
            for source in (key.source, *sources)
        ]
    return tuple(found)


def relationships(
    keys: tuple[ForeignKey, ...], primary_keys: Mapping[str, tuple[str, ...]], parent: str, name: str, hint: str | None
) -> list[Relationship]:
    """All relationships of `parent` that an embed's name and hint can mean."""
    found = [*_direct(keys, parent, name, hint), *_through(keys, primary_keys, parent, name, hint)]
    # A foreign key of a table to itself has two directions: the column names its target, the table the rows below.
    if len(found) == 2 and found[0].table == parent and found[0].key == found[1].key:
        return [each for each in found if each.is_many]
    return found


def _direct(keys: tuple[ForeignKey, ...], parent: str, name: str, hint: str | None) -> Iterator[Relationship]:
    for key in keys:
        own, theirs = ([pair[side] for pair in key.pairs] for side in (0, 1))
        columns = {own[0], theirs[0]} if len(own) == 1 else set()
        if hint is not None and hint not in {key.name, *columns}:
            continue
        names = {key.target} if key.has_view_target else {key.target, key.name, *(own if columns else ())}
        if key.source == parent and name in names:
            yield Relationship(key.target, False, key.pairs, key.name, True, key.is_unique)
        if key.target == parent and name in {key.source, key.name}:
            pairs = tuple((b, a) for a, b in key.pairs)
            yield Relationship(key.source, not key.is_unique, pairs, key.name, False, key.is_unique)


def _through(
    keys: tuple[ForeignKey, ...], primary_keys: Mapping[str, tuple[str, ...]], parent: str, name: str, hint: str | None
) -> Iterator[Relationship]:
    for first in keys:
        if first.target != parent or hint not in {None, first.source}:
            continue
        for second in keys:
            columns = {own for key in (first, second) for own, _ in key.pairs}
            if second.source != first.source or second.target != name or second.name == first.name:
                continue
            if columns <= set(primary_keys.get(first.source, ())):
                pairs = tuple((b, a) for a, b in first.pairs)
                junction = Junction(first.source, first.name, second.name, second.pairs)
                yield Relationship(name, True, pairs, first.name, junction=junction)
