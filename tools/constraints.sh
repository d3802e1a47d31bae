#!/bin/bash
# Write constraints.txt: the newest versions that fit pyproject.toml and constraints.in, resolved by pip in a fresh venv.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --no-compile -c constraints.in '.[worker,local,dev]'
# A local version (+cpu) names one build of one index; the public version fits them all.
"$folder/bin/python" -m pip freeze --exclude ecgfm | sed -E 's/\+[a-z0-9.]+$//' | sort -f >"$folder/frozen"
cp "$folder/frozen" constraints.txt
echo "constraints.txt: $(wc -l <constraints.txt) packages"
