#!/usr/bin/env bash
# One table, from nothing to its report; what is done already is not repeated.
#   usage:   results/runs/table.sh TABLE.toml DIR [--data FOLDER]
#   needs:   the servers that TABLE.toml names, bubblewrap, pip install 'memcollab[bench]'
#   writer:  MEMCOLLAB_WRITER=openai:gpt-5 (and its key), or ANSWERS=FILE with recorded answers
#   size:    PARALLEL tasks at once (default 4); every table of one DIR shares its runs and banks
# Tables at the size of the paper (1,000 build and 500 test tasks, 7B to 70B models) are in paper/,
# those that were run for results/ in here/.
set -euo pipefail
table=${1:?TABLE.toml} dir=${2:?DIR}
shift 2
memcollab bench plan "$table" --dir "$dir" "$@"
memcollab bench build "$table" --dir "$dir" --parallel "${PARALLEL:-4}" "$@"
memcollab bench learn "$table" --dir "$dir" ${ANSWERS:+--batch-in "$ANSWERS"}
if grep -q '"proven"' "$table"; then
  memcollab bench validate "$table" --dir "$dir" --parallel "${PARALLEL:-4}" "$@"
fi
memcollab bench run "$table" --dir "$dir" --parallel "${PARALLEL:-4}" "$@"
memcollab bench report "$table" --dir "$dir" "$@"
