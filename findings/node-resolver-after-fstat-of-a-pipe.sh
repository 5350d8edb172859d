#!/usr/bin/env bash
# Node 20.20.2: after fstatSync of a pipe or socket, such as standard output, the resolver of imports does not follow the next symlink. So a
# package that is linked into node_modules, as pnpm and workspaces do it, is loaded a second time under another URL, without the packages beside it.
# (realpathSync with a cache stops at a folder that it knows "if it is a pipe", and looks at the last stat, of whatever that was.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund node@20.20.2 >/dev/null
mkdir linked
echo '{ "name": "linked", "type": "module", "exports": "./index.js" }' >linked/package.json
echo 'export const one = 1' >linked/index.js
ln -s ../linked node_modules/linked
cat >try.mjs <<'JS'
import { fstatSync, statSync } from 'node:fs'

fstatSync(1)
if (process.argv[2] === 'stat') statSync('/')
console.log(import.meta.resolve('linked').includes('node_modules') ? 'the link' : 'its target')
JS
after_fstat=$(node_modules/.bin/node try.mjs | cat)
after_stat=$(node_modules/.bin/node try.mjs stat | cat)
echo "node $(node_modules/.bin/node --version): after fstat of a pipe $after_fstat is imported, after a stat of a folder $after_stat"
[ "$after_fstat" = 'the link' ] && [ "$after_stat" = 'its target' ]
