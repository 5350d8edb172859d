#!/usr/bin/env bash
# @platformatic/job-queue 0.5.0: a handler that returns nothing has done its work, and is run again until the attempts are used up; then the job is
# 'failed'. Its result, undefined, cannot be made a Buffer, and that error counts as one of the handler. No line of the documentation or of the types
# asks for a result. The runs follow each other at once, although the README promises "exponential backoff". One that returns null runs once, but
# enqueueAndWait() does not hear of it and times out. (Runs with Node.js 24, because the package needs 22.19.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund @platformatic/job-queue@0.5.0 node@24.21.0 >/dev/null
cat > try.mjs <<'JS'
import { MemoryStorage, Queue } from '@platformatic/job-queue'

const queue = new Queue({ storage: new MemoryStorage() })
const sent = []
queue.execute(async ({ payload }) => {
  sent.push({ to: payload.to, at: performance.now() })
  return payload.result
})
await queue.start()
const ended = async (id, payload) => {
  await queue.enqueue(id, payload)
  for (;;) {
    const { state } = await queue.getStatus(id)
    if (state === 'completed' || state === 'failed') return state
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
const states = {
  text: await ended('text', { to: 'a text', result: 'sent' }),
  nothing: await ended('nothing', { to: 'nothing' }),
  null: await ended('null', { to: 'null', result: null }),
}
const waited = await queue.enqueueAndWait('waited', { to: 'null, waited for', result: null }, { timeout: 1_000 }).catch((error) => error.name)
const to = sent.map((mail) => mail.to)
const repeats = sent.filter((mail) => mail.to === 'nothing')
const took = repeats.at(-1).at - repeats[0].at
await queue.stop()
console.log(process.version, '@platformatic/job-queue 0.5.0;', JSON.stringify({ states, waited, sent: to }), `the three within ${Math.round(took)} ms`)
const same =
  JSON.stringify(states) === '{"text":"completed","nothing":"failed","null":"completed"}' && waited === 'TimeoutError' &&
  to.join() === 'a text,nothing,nothing,nothing,null,null, waited for' && took < 1_000
process.exit(same ? 0 : 1)
JS
./node_modules/.bin/node try.mjs
