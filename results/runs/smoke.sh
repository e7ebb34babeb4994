#!/usr/bin/env bash
# A table with two build and two test tasks per suite, before the whole of it is paid for.
#   usage:   results/runs/smoke.sh TABLE.toml DIR [--data FOLDER]
#   needs:   what table.sh needs; DIR is thrown away afterwards: its runs are no part of the table
set -euo pipefail
table=${1:?TABLE.toml} dir=${2:?DIR}
shift 2
mkdir -p "$dir"
small=$dir/$(basename "$table")
sed -E 's/^(build|test|contrasts) = [0-9]+/\1 = 2/; s/^build_seeds = .*/build_seeds = [0]/' "$table" > "$small"
exec "$(dirname "$0")/table.sh" "$small" "$dir" "$@"
