#!/usr/bin/env bash
# Agenda 6.2.6 (Redis backend 3.0.7): debounce(delay, { strategy: 'leading' }) runs the first call and then none, however long after. The types say
# "execute immediately on first call, ignore subsequent calls during window", but the delay is never read: each later call keeps the next run of the
# finished job, which is none. Here the window is 200 ms and the calls come 1.5 s apart: one of four runs. With removeOnComplete, which takes the
# finished job away, each of the four runs. (Needs redis-server, of which it starts its own on a socket.)
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
const ran = { kept: [], removed: [] }
agenda.define('kept', async (job) => void ran.kept.push(job.attrs.data.call))
agenda.define('removed', async (job) => void ran.removed.push(job.attrs.data.call), { removeOnComplete: true })
await agenda.start()
for (let call = 1; call <= 4; call++) {
  for (const name of ['kept', 'removed'])
    await agenda.create(name, { channel: 'alerts', call }).unique({ 'data.channel': 'alerts' }).debounce(200, { strategy: 'leading' }).save()
  await sleep(1_500)
}
await agenda.stop()
console.log(process.version, 'agenda 6.2.6; of four calls 1.5 s apart, window 200 ms, ran:', JSON.stringify(ran))
process.exit(JSON.stringify(ran) === '{"kept":[1],"removed":[1,2,3,4]}' ? 0 : 1)
JS
node try.mjs "$folder/redis.sock"
