#!/usr/bin/env bash
# Quirrel 1.14.1: of retries at equal intervals only the first waits. Its types say that retry: ['5min', '1h'] tries again after 5 minutes and then
# after 1:05 hours, so the intervals add up; but each is counted from the first time the job was due, less the one before. With ['2s', '2s', '2s'] the
# three retries come after 2 s, all within moments of each other, and then the job has failed for good and is deleted; an outage of three minutes with
# retry: ['1min', '1min', '1min'] is not outlived. ['2s', '4s', '6s'] comes after 2, 4 and 6 s.
# (Needs redis-server, of which it starts its own on a socket.)
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --daemonize yes --pidfile "$folder/redis.pid" >/dev/null
trap 'kill "$(cat "$folder/redis.pid")" || true; rm -rf "$folder"' EXIT
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund quirrel@1.14.1 >/dev/null
cat > try.cjs <<'JS'
const { createServer } = require('node:http')
const { setTimeout: sleep } = require('node:timers/promises')
const Redis = require('ioredis')
const { QuirrelClient } = require('quirrel/client')
const { runQuirrel } = require('quirrel/dist/cjs/src/api')

async function main() {
  const calls = {}
  const customer = createServer((request, response) => {
    ;(calls[request.url.slice(1)] ??= []).push(Date.now())
    response.writeHead(503).end()
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => customer.once('listening', resolve))
  const port = 20_000 + (process.pid % 20_000)
  const redisFactory = () => new Redis(process.argv[2])
  const quirrel = await runQuirrel({ host: '127.0.0.1', port, redisFactory, disableTelemetry: true, logger: 'none' })
  const seen = {}
  for (const retry of [['2s', '2s', '2s'], ['2s', '4s', '6s']]) {
    const route = retry.join('-')
    const config = {
      quirrelBaseUrl: `http://127.0.0.1:${port}`,
      applicationBaseUrl: `http://127.0.0.1:${customer.address().port}`,
    }
    const client = new QuirrelClient({ route, async handler() {}, config })
    await client.enqueue('invoice', { id: 'invoice', retry })
    await sleep(10_000)
    const [first, ...others] = calls[route]
    const after = others.map((at) => Math.round((at - first) / 1_000))
    seen[retry.join(', ')] = { 'tried again after s': after, left: await client.getById('invoice') }
  }
  console.log(process.version, 'quirrel 1.14.1:', JSON.stringify(seen))
  await quirrel.close()
  customer.close()
  const [equal, growing] = Object.values(seen).map((one) => one['tried again after s'].join())
  process.exit(equal === '2,2,2' && growing === '2,4,6' ? 0 : 1)
}
main()
JS
timeout 120 node try.cjs "$folder/redis.sock"
