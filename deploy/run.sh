#!/bin/bash
# The Lambda Web Adapter starts this script in place of a handler. It runs uvicorn without a supervisor.
# PYTHONPATH: the unit's packages come before those of the runtime.
# gc.disable(): collecting during imports finds nothing and costs a tenth of a start; main.py enables it again.
# --lifespan on: a main.py that cannot be imported ends the start at once.
# --timeout-keep-alive 75: longer than the adapter's own, so that the adapter closes connections first.
# --ws none: the functions use no WebSockets.
set -eu
cd "${LAMBDA_TASK_ROOT:-$(dirname "$0")}"
export PYTHONPATH="$PWD" PYTHONDONTWRITEBYTECODE=1
exec python3 -c 'import gc; gc.disable(); import uvicorn; uvicorn.main()' \
  functions_framework.aio:app --host 127.0.0.1 --port "${AWS_LWA_PORT:-8080}" \
  --lifespan on --ws none --no-access-log --no-server-header --log-level warning --timeout-keep-alive 75
