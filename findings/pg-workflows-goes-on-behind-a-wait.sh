#!/usr/bin/env bash
# pg-workflows 0.15.0: a wait does not stop the function. step.delay('trial', '1 hour') and step.waitFor() come back at once, with undefined, and the
# code behind them runs an hour or an event too early: only steps are held back, and give undefined too. The README says that waitFor() pauses the
# workflow, and the types that undefined means a timeout. So a line behind a delay runs now, and `answer.granted` of the README's own pattern
# throws before there is an answer. (Needs PostgreSQL's server programs, of which it starts its own. Runs with Node.js 24.)
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

const seen = { delay: [], waitFor: [] }
const trial = workflow('trial', async ({ step }) => {
  seen.delay.push(await step.run('welcome', async () => 'welcome'))
  await step.delay('trial', '1 hour')
  seen.delay.push('the line behind the delay')
  seen.delay.push(String(await step.run('farewell', async () => 'farewell')))
})
const approval = workflow('approval', async ({ step }) => {
  await step.run('ask', async () => 'asked')
  const answer = await step.waitFor('answer', { eventName: 'answered' })
  seen.waitFor.push(String(answer))
  const text = answer.granted ? 'granted' : 'refused'
  await step.run('tell', async () => text)
})
const engine = new WorkflowEngine({
  pool: new pg.Pool({ connectionString: process.argv[2] }),
  workflows: [trial, approval],
  logger: { log() {}, error() {} },
})
await engine.start()
const runs = [await engine.startWorkflow({ workflowId: 'trial', input: {} }), await engine.startWorkflow({ workflowId: 'approval', input: {} })]
await sleep(5_000)
const states = await Promise.all(runs.map(({ id }) => engine.getRun({ runId: id })))
const errors = states.map(({ status, error }) => `${status}: ${error}`)
console.log(process.version, 'pg-workflows 0.15.0; after 5 s, seen:', JSON.stringify(seen), JSON.stringify(errors))
const same =
  seen.delay.join() === 'welcome,the line behind the delay,undefined' && seen.waitFor.join() === 'undefined' &&
  errors[0] === 'paused: null' && errors[1].includes("reading 'granted'")
process.exit(same ? 0 : 1)
JS
./node_modules/.bin/node try.mjs "postgres://postgres@127.0.0.1:$port/postgres"
