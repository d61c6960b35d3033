"""The documents that are generated: `python -m tools.documents` writes them, tests compare them.

Each module makes one page and writes no file. `database` needs a database; the others need the code only. The OpenAPI
documents come from `tools.openapi`.
"""
