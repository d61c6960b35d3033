"""A local replacement for PostgREST, as Parley's functions, supabase-py, supabase-js and their users need it.

Covered: rows of tables and views with columns, casts, JSON paths, computed columns, every filter and tree of filters,
orders, pages and counts (always exact); embeds by foreign key, junction table, view and function, spread or not, with
hints, filters and null filters; inserts, upserts, updates, deletions; functions with overloads and unnamed parameters;
JSON, CSV, one object, plans; preferences, profiles, Allow, and the OpenAPI document.
Refused in PostgREST's format: schemas other than `public`, aggregates (off, as by default), limits of updates and
deletions, GeoJSON, custom media types. Unlike a default PostgREST it obeys `Prefer: tx=rollback`.
The relationships of a view are those of the columns that keep the names of its tables.
Each request is one transaction with the role of its token, and one statement that builds the response.
"""
