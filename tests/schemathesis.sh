#!/usr/bin/env bash
# Tries a fresh server with what its description allows and with what it does not, follows the
# description's links, and looks whether the log that is left is whole.
#
#   tests/schemathesis.sh PROGRAM SCHEMATHESIS [EXAMPLES] [SEED]
set -euo pipefail

readonly program=$1 schemathesis=$2 examples=${3:-10} seed=${4:-1}
readonly config="$PWD/tests/schemathesis.toml"
home=$(mktemp -d)
readonly home
export EVENKEEL_DATA="$home/data"

EVENKEEL_LISTEN=127.0.0.1:0 EVENKEEL_LOG=warn "$program" serve >"$home/out" 2>"$home/err" &
readonly server=$!
trap 'kill -9 "$server" 2>/dev/null || true; rm -rf "$home"' EXIT
until url=$(grep -oP '(?<=listening on ).*' "$home/out"); do
  kill -0 "$server" || { cat "$home/err"; exit 1; }
  sleep 0.05
done

"$schemathesis" --config-file "$config" run "$url/api/openapi.json" --no-color \
  --header "Authorization: Bearer $(cat "$EVENKEEL_DATA/admin.token")" \
  --max-examples "$examples" --seed "$seed"

kill -TERM "$server"
wait "$server"
"$program" log verify
