#!/usr/bin/env bash
# Node 20.20.2: import() of a package that lacks one of its files for a moment, as while an update replaces it, fails for as long as the process
# lives, also when the file is there again. require() of the same package works again. Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund node@20.20.2 nodemailer@10.6.1 >/dev/null
cat > try.mjs <<'JS'
import { renameSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const ways = { import: () => import('nodemailer'), require: async () => require('nodemailer') }
const outcomes = async () => {
  const seen = {}
  for (const [name, load] of Object.entries(ways)) seen[name] = await load().then(() => 'works', ({ code }) => code)
  return seen
}
const folders = ['esm', 'cjs'].map((kind) => `node_modules/nodemailer/dist/${kind}/mailer`)
for (const folder of folders) renameSync(folder, `${folder}.gone`)
const away = await outcomes()
for (const folder of folders) renameSync(`${folder}.gone`, folder)
const back = await outcomes()
console.log(process.version, 'a file away:', away, 'back again:', back)
process.exit(back.import === 'ERR_MODULE_NOT_FOUND' && back.require === 'works' ? 0 : 1)
JS
node_modules/.bin/node try.mjs
