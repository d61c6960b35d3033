"""The sandbox of the SQL tool: workers (our side) | child (the process with DuckDB), session, validate, cells (in it).

DuckDB is no sandbox by itself, so each wall stands without the others: an allow-list over its parser's own tree, a file
opened read-only without external access, a process without environment, descriptors or room, and a kill timer.
"""
