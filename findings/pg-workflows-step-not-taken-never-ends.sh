#!/usr/bin/env bash
# pg-workflows 0.15.0: a workflow that returns without its last step never ends. The engine reads the step names from the text of the function, and a
# run completes only when the step it did last is the last in the text. `if (refused) await step.run('tell', …)` at the end: an order that is refused
# completes, one that is not stays 'running' for ever, without output, and so does each early return. A parent that invoked it waits for ever, too.
# The README has "workflows are async functions" and "conditional paths".
# (Needs PostgreSQL's server programs, of which it starts its own. Runs with Node.js 24.)
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
npm install --silent --no-audit --no-fund pg-workflows@0.15.0 pg@8.23.1 @opentelemetry/api@1.9.0 node@24.21.0 >/dev/null
cat > try.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { WorkflowEngine, workflow } from 'pg-workflows'

const order = workflow('order', async ({ step, input }) => {
  const payment = await step.run('charge', async () => ({ refused: input.refused }))
  if (payment.refused) await step.run('tell', async () => 'told')
  return payment
})
const shop = workflow('shop', async ({ step, input }) => {
  await step.invokeChildWorkflow('order', { workflowId: 'order', input })
  await step.run('close', async () => 'closed')
})
const engine = new WorkflowEngine({
  pool: new pg.Pool({ connectionString: process.argv[2] }),
  workflows: [order, shop],
  logger: { log() {}, error: console.error },
})
await engine.start()
const runs = []
for (const refused of [true, false])
  for (const workflowId of ['order', 'shop']) runs.push({ workflowId, refused, ...(await engine.startWorkflow({ workflowId, input: { refused } })) })
await sleep(10_000)
const seen = {}
for (const { id, workflowId, refused } of runs) {
  const { status, output } = await engine.getRun({ runId: id })
  seen[`${workflowId}, ${refused ? 'refused' : 'paid'}`] = output ? `${status} with output` : status
}
console.log(process.version, 'pg-workflows 0.15.0; after 10 s:', JSON.stringify(seen))
const same =
  JSON.stringify(Object.values(seen)) === '["completed with output","completed with output","running","paused"]'
process.exit(same ? 0 : 1)
JS
./node_modules/.bin/node try.mjs "postgres://postgres@127.0.0.1:$port/postgres"
