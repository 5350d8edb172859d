#!/usr/bin/env bash
# @tanstack/pacer 0.22.0: an AsyncQueuer that takes its items from the back stops after as many items as it may run at once. What it notes as active is
# the item at the front, what it runs is the one at the back; when that ends, it does not find it among the active ones, and the place stays taken.
# With getItemsFrom: 'back' and six items, one runs with concurrency 1 and two with concurrency 2; the status says 'running', no error comes, and no
# later item runs either. From the front all six run.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund @tanstack/pacer@0.22.0 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import { AsyncQueuer } from '@tanstack/pacer'

const seen = {}
for (const getItemsFrom of ['front', 'back']) {
  for (const concurrency of [1, 2]) {
    const ran = []
    const work = async (item) => {
      await sleep(20)
      ran.push(item)
    }
    const queue = new AsyncQueuer(work, { concurrency, getItemsFrom, started: false })
    for (let item = 1; item <= 6; item++) queue.addItem(item)
    queue.start()
    await sleep(1_000)
    queue.addItem(7)
    await sleep(1_000)
    seen[`${getItemsFrom}, ${concurrency} at once`] = { ran: ran.join(' '), status: queue.store.state.status }
  }
}
console.log(process.version, '@tanstack/pacer 0.22.0, seven items:', JSON.stringify(seen))
const ran = Object.values(seen).map((one) => one.ran)
process.exit(ran.join() === '1 2 3 4 5 6 7,1 2 3 4 5 6 7,6,6 5' ? 0 : 1)
JS
node try.mjs
