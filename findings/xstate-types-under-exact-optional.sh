#!/usr/bin/env bash
# xstate 5.33.3: its declarations do not compile under exactOptionalPropertyTypes where skipLibCheck is off, with TypeScript 5.9.3 and 7.0.2 alike:
# five errors TS2344 in setup.d.ts, for a program that only imports it. Without exactOptionalPropertyTypes they do. Exits 0 while that is so, 1
# when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund xstate@5.33.3 typescript@5.9.3 typescript7@npm:typescript@7.0.2 >/dev/null
echo "import { createActor } from 'xstate'; console.log(createActor)" >use.ts
count() {
  node "node_modules/$1/bin/tsc" --noEmit --strict --skipLibCheck false --exactOptionalPropertyTypes "$2" \
    --target es2022 --lib es2022,dom --module nodenext use.ts | grep -c 'setup.d.ts.*TS2344' || true
}
seen=
for compiler in typescript typescript7; do
  seen+="$compiler: $(count "$compiler" true) errors with the option, $(count "$compiler" false) without. "
done
echo "xstate 5.33.3, $seen"
[ "$seen" = 'typescript: 5 errors with the option, 0 without. typescript7: 5 errors with the option, 0 without. ' ]
