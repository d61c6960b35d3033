"""Checks deployed functions at their real URLs; prints one verdict a line, with advice for each failure.

    python -m deploy.smoke https://….lambda-url.us-east-1.on.aws --token … --origin https://app.example
    python -m deploy.smoke URL… --cron-secret … --model gpt-4o

Give the URLs of all functions in any order; each function is recognised by its answers. A check that needs --token,
--origin or --cron-secret is skipped without it. The checks of chat and assist send one
turn of a few tokens each. The refresh check is a dry run. A check takes at most --seconds. The exit code is 0 when no
check failed, 1 when one did, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys

from deploy.smoke.run import check_all
from deploy.smoke.values import DEFAULT_SECONDS, SmokeOptions


def main() -> None:
    """Prints the verdicts as they come."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.smoke", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--token", default=os.environ.get("TOKEN", ""), help="a user's access token, default $TOKEN")
    parser.add_argument("--origin", default="", help="the origin of your page, as in CORS_ORIGINS")
    parser.add_argument("--cron-secret", default=os.environ.get("CRON_SECRET", ""), help="default $CRON_SECRET")
    parser.add_argument("--model", default="", help="the model of the chat check; default: the default model")
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help="time limit of one check; %(default)g")
    args = parser.parse_args()
    options = SmokeOptions(args.token, args.origin, args.cron_secret, args.model, args.seconds)
    if invalid := [url for url in args.urls if not url.startswith(("http://", "https://"))]:
        parser.error(f"not a URL: {invalid[0]}")
    results = []
    for verdict in check_all(args.urls, options):
        print(verdict, flush=True)
        results.append(verdict.passed)
    failed = results.count(False)
    print(f"{failed} failed" if failed else "nothing failed" if None in results else "all well")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
