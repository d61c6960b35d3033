"""Checks a deployment from outside: `python -m deploy.smoke URL…`."""
