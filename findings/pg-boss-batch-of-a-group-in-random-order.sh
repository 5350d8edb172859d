#!/usr/bin/env bash
# pg-boss 12.38.0: with groupConcurrency, a fetch of more than one job takes a group's jobs neither by priority nor by age. Of the jobs that it finds,
# which are in order, it keeps as many of each group as may run, and ranks them for that by their random id. Of twelve jobs of one group, the last
# urgent, one at a time, batchSize 1 gives the urgent one and then the others as they were sent; batchSize 10 gives another order in each run, with
# groupConcurrency 1 as with 2. (Needs PostgreSQL's server programs, of which it starts its own.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
as_user() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
mkdir data && chmod 755 "$folder" && { [ "$(id -u)" != 0 ] || chown postgres data; }
as_user "$programs/initdb" -D data -A trust -U postgres >/dev/null
port=$(node -p 'const server = require("net").createServer().listen(0); const { port } = server.address(); server.close(); port')
as_user "$programs/pg_ctl" -D data -w -l data/log -o "-p $port -h 127.0.0.1 -k $folder/data" start >/dev/null
trap 'as_user "$programs/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund pg-boss@12.38.0 >/dev/null
cat > try.mjs <<'JS'
import { PgBoss } from 'pg-boss'

const boss = new PgBoss(process.argv[2])
await boss.start()
/** The order in which twelve jobs of one group are fetched, each fetch after the jobs of the last one have been completed. */
async function order(name, options) {
  await boss.createQueue(name)
  for (let n = 1; n <= 12; n++) await boss.send(name, { n }, { group: { id: 'customer' }, priority: n === 12 ? 1 : 0 })
  const fetched = []
  for (let jobs; fetched.length < 12 && (jobs = await boss.fetch(name, options)).length > 0; ) {
    fetched.push(...jobs.map((job) => job.data.n))
    await boss.complete(name, jobs.map((job) => job.id))
  }
  return fetched.join(' ')
}
const seen = {
  'batchSize 1': await order('single', { batchSize: 1, groupConcurrency: 1 }),
  'batchSize 10': await order('batch', { batchSize: 10, groupConcurrency: 1 }),
  'batchSize 10 again': await order('again', { batchSize: 10, groupConcurrency: 1 }),
  'groupConcurrency 2': await order('two', { batchSize: 10, groupConcurrency: 2 }),
}
await boss.stop()
console.log(process.version, 'pg-boss 12.38.0', JSON.stringify(seen))
const [single, ...batches] = Object.values(seen)
const whole = (list) => list.split(' ').sort((a, b) => a - b).join(' ') === '1 2 3 4 5 6 7 8 9 10 11 12'
process.exit(single === '12 1 2 3 4 5 6 7 8 9 10 11' && new Set([single, ...batches]).size === 4 && batches.every(whole) ? 0 : 1)
JS
node try.mjs "postgres://postgres@127.0.0.1:$port/postgres"
