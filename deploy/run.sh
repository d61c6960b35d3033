#!/bin/bash
# What the Lambda Web Adapter starts in place of a handler. uvicorn alone, without a process that watches over it:
# --lifespan on, so that a main.py that cannot be imported ends the start at once; keep-alive longer than the adapter's
# own, so that the adapter is the one to close. The task's root comes before whatever the runtime brings along. Without
# the collector, which finds nothing among what is being imported and takes a tenth of a start; main.py puts it back.
# Without WebSockets, which nothing here speaks.
set -eu
cd "${LAMBDA_TASK_ROOT:-$(dirname "$0")}"
export PYTHONPATH="$PWD" PYTHONDONTWRITEBYTECODE=1
exec python3 -c 'import gc; gc.disable(); import uvicorn; uvicorn.main()' \
  functions_framework.aio:app --host 127.0.0.1 --port "${AWS_LWA_PORT:-8080}" \
  --lifespan on --ws none --no-access-log --no-server-header --log-level warning --timeout-keep-alive 75
