#!/usr/bin/env bash
# better-queue 3.8.12: the retry of a failed task replaces a newer task with the same id. The README says that a task replaces "the previous task" of
# its id; but a retry is pushed like a new one. A draft is saved, its second version pushed while the first fails: the first version is saved, the
# second never is, and its callback gets (null, 'first'), a success. With a retryDelay the second version is saved, and then the first over it.
# Without a failure both are saved in their order.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund better-queue@3.8.12 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import Queue from 'better-queue'

/** What is saved, in order, and what the callbacks get, when the first `failures` attempts fail. */
async function save(failures, retryDelay) {
  const seen = { saved: [] }
  const work = async ({ text }) => {
    await sleep(300)
    if (failures-- > 0) throw new Error('no answer')
    seen.saved.push(text)
    return text
  }
  const queue = new Queue((task, done) => void work(task).then((text) => done(null, text), done), { maxRetries: 5, retryDelay })
  for (const text of ['first', 'second']) {
    queue.push({ id: 'draft', text }, (error, result) => (seen[text] = error ?? result))
    await sleep(100)
  }
  await sleep(3_000)
  return JSON.stringify(seen)
}
const seen = { 'no failure': await save(0, 0), 'retry at once': await save(1, 0), 'retry after a second': await save(1, 1_000) }
console.log(process.version, 'better-queue 3.8.12:', Object.entries(seen).map((each) => each.join(': ')).join('; '))
const same =
  seen['no failure'] === '{"saved":["first","second"],"first":"first","second":"second"}' &&
  JSON.parse(seen['retry at once']).saved.join() === 'first' && JSON.parse(seen['retry at once']).second === 'first' &&
  JSON.parse(seen['retry after a second']).saved.join() === 'second,first'
process.exit(same ? 0 : 1)
JS
node try.mjs
