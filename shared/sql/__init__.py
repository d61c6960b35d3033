"""The sandbox of the SQL tool. `workers` runs in the function; `child`, `session`, `validate` and `cells` in a child.

DuckDB is no sandbox by itself, so each barrier works without the others: an allow-list over its parser's own tree, a
file opened read-only without external access, a process without environment variables, inherited files or much memory,
and a kill timer.
"""
