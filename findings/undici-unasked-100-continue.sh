#!/usr/bin/env bash
# undici 7.30.2: a server may send 100 (Continue) that nobody asked for, and a client must pass over it (RFC 9110, 15.2). undici closes the
# connection instead, so that a call which arrived and was answered fails with UND_ERR_SOCKET, "bad response". Node's own http passes over it.
# Exits 0 while that is so, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund undici@7.30.2 >/dev/null
cat > try.mjs <<'JS'
import { once } from 'node:events'
import http from 'node:http'
import { createServer } from 'node:net'
import { request } from 'undici'

const server = createServer((socket) => {
  socket.on('error', () => {})
  socket.on('data', () => socket.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n'))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${server.address().port}/`
const byUndici = await request(url, { method: 'POST', body: 'x' }).then(({ statusCode }) => `${statusCode}`, ({ code, message }) => `${code}: ${message}`)
const byNode = await new Promise((resolve) => {
  http.request(url, { method: 'POST' }, ({ statusCode }) => resolve(`${statusCode}`)).on('error', ({ code }) => resolve(code)).end('x')
})
console.log(`undici 7.30.2: ${byUndici}; node:http of ${process.version}: ${byNode}`)
process.exit(byUndici === 'UND_ERR_SOCKET: bad response' && byNode === '204' ? 0 : 1)
JS
node try.mjs
