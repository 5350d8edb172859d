#!/usr/bin/env bash
# Agenda 6.2.6 (Redis backend 3.0.7): a debounced call that comes while its job runs is lost. save() stores the call's data and time in the row of
# the running job, and the end of that run writes back the "no next run" that was computed at its start. Trailing debounce promises a run after the
# last call: here the call for version 2 gets none, and the job says "completed" and holds the data of version 2. The same call after the run has
# ended is run. (Needs redis-server, of which it starts its own on a socket.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --daemonize yes --pidfile "$folder/redis.pid" >/dev/null
trap 'kill "$(cat "$folder/redis.pid")" || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund agenda@6.2.6 @agendajs/redis-backend@3.0.7 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import { RedisBackend } from '@agendajs/redis-backend'
import { Agenda } from 'agenda'

const agenda = new Agenda({ backend: new RedisBackend({ connectionString: process.argv[2] }), processEvery: 50 })
const indexed = { during: [], after: [] }
agenda.define('index', async ({ attrs: { data } }) => {
  indexed[data.page].push(data.version)
  await sleep(500)
})
await agenda.start()
const changed = (page, version) => agenda.create('index', { page, version }).unique({ 'data.page': page }).debounce(100).save()
const until = async (met) => {
  for (let wait = 0; wait < 200 && !met(); wait++) await sleep(25)
}
await changed('during', 1)
await changed('after', 1)
await until(() => indexed.during.length > 0 && indexed.after.length > 0)
await changed('during', 2)
await sleep(1_000)
await changed('after', 2)
await sleep(3_000)
const { jobs } = await agenda.queryJobs({ data: { page: 'during' } })
const [{ state, nextRunAt, data }] = jobs
await agenda.stop()
const seen = { ran: indexed, state, nextRunAt, version: data.version }
console.log(process.version, 'agenda 6.2.6', JSON.stringify(seen))
const same = JSON.stringify(indexed) === '{"during":[1],"after":[1,2]}' && state === 'completed' && nextRunAt === null && data.version === 2
process.exit(same ? 0 : 1)
JS
node try.mjs "$folder/redis.sock"
