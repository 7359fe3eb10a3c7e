#!/usr/bin/env bash
# Runs a Python script with TensorBoard (port 6006) and Jupyter (port 8888) beside it, and exits as the script does:
#   ./docker/before_learn.sh train.py train --config-file ./configs/test.config.json
# JUPYTER_TOKEN lets into Jupyter; where it is not set, one is drawn and printed. TensorBoard shows ./runs and ./logs.
# SERVERS_ADDRESS is where both listen: 127.0.0.1 by default; the image, whose ports have to be published, sets 0.0.0.0.
set -euo pipefail

if [ "$#" -eq 0 ]; then
  echo "usage: $0 SCRIPT [ARGUMENT...], for example $0 train.py train --config-file ./configs/test.config.json" >&2
  exit 2
fi
for needed in python tensorboard jupyter; do
  if ! command -v "$needed" >/dev/null; then
    echo "$0: there is no $needed here; run this in the image of docker/train.Dockerfile, or python $* without it" >&2
    exit 2
  fi
done

address="${SERVERS_ADDRESS:-127.0.0.1}"
token="${JUPYTER_TOKEN:-}"
# The run has no use for it.
unset JUPYTER_TOKEN
if [ -n "$token" ]; then
  login=" (with your JUPYTER_TOKEN)"
else
  token="$(python -c 'import secrets; print(secrets.token_urlsafe(24))')"
  login="?token=$token"
fi

state="$(mktemp -d)"
declare -A servers=()

start() { # NAME COMMAND...: a server beside the run; what it says goes to a file, not between the progress bars
  "${@:2}" >"$state/$1.log" 2>&1 </dev/null &
  servers[$1]=$!
}

# shellcheck disable=SC2329  # the trap calls it
stop() {
  for name in "${!servers[@]}"; do
    if ! kill "${servers[$name]}" 2>/dev/null; then
      echo "$name had ended by itself:" >&2
      tail -n 5 "$state/$name.log" >&2
    fi
  done
  for _ in {1..50}; do
    kill -0 "${servers[@]}" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "${servers[@]}" 2>/dev/null || true
  rm -rf "$state"
}
trap stop EXIT

# One folder with links, since TensorBoard takes one; both may come into being while it runs.
mkdir "$state/tensorboard"
ln -s "$PWD/runs" "$PWD/logs" "$state/tensorboard"
start TensorBoard tensorboard --logdir "$state/tensorboard" --host "$address" --port 6006
# By environment, not as an argument that every user of the machine could read.
JUPYTER_TOKEN="$token" start Jupyter jupyter lab --allow-root --no-browser --ip "$address" --port 8888 \
  --ServerApp.port_retries=0 --ServerApp.root_dir="$PWD"
echo "TensorBoard: http://127.0.0.1:6006 (log: $state/TensorBoard.log)" >&2
echo "Jupyter: http://127.0.0.1:8888/lab$login (log: $state/Jupyter.log)" >&2

# In the background, since bash would keep `docker stop` waiting for a script in the foreground. Ctrl-C reaches the script
# by itself; a SIGTERM is passed on. Either way its own end is waited for.
(
  trap - INT
  exec python "$@"
) <&0 &
run=$!
trap 'signalled=yes' INT
trap 'signalled=yes; kill -TERM "$run" 2>/dev/null || true' TERM
code=0
while true; do
  signalled=""
  wait "$run" && code=0 || code=$?
  [ -n "$signalled" ] || break
done
exit "$code"
