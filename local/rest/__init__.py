"""A local replacement for the part of PostgREST that Parley's functions, supabase-py and supabase-js use.

Covered: reading, inserting, upserting, updating, deleting rows of tables and views; select with aliases, casts, JSON
paths and embedded tables (by foreign key, `!inner`, `!hint`); every filter, `not`, `and`, `or`; order, limit, offset,
Range, counts (always exact); single objects; functions by named arguments.
Not covered: aggregates, spreads, ordering by embedded columns, many-to-many embeds, CSV, several schemas.
Each request is one transaction with the role of its token, and one statement that builds the JSON.
"""
