import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { lengthOf } from '../support/length.ts'
import { ownServer } from '../support/postgres-server.ts'
import { cleanUp } from '../support/temp.ts'
import { cluster } from './cluster.ts'

const usage = `npm run test:cluster -- [LENGTH] [--from SEED]

Four nodes on a PostgreSQL server of their own. LENGTH: such as 30s, 10m (the default) or 8h.`

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { from: { type: 'string' }, help: { type: 'boolean' } },
  })
  const lengthMs = lengthOf(positionals[0] ?? '10m')
  if (values.help || !lengthMs) {
    say(usage)
    return values.help ? 0 : 2
  }
  const seed = values.from === undefined ? Math.floor(Date.now() / 1_000) : Number(values.from)
  const folder = mkdtempSync(join(tmpdir(), 'jobmachine-cluster-'))
  say(`${lengthMs / 1_000} s in ${folder}, seed ${seed}`)
  const report = await cluster({ lengthMs, seed, folder, build: resolve('dist'), server: ownServer(), say })
  for (const violation of report.violations.slice(0, 50)) say(violation)
  const n = (count: number, what: string) => `${count.toLocaleString('en')} ${what}`
  say(
    [
      n(report.acknowledged, 'jobs acknowledged'),
      n(report.starts, 'starts'),
      n(report.kills, 'nodes killed'),
      n(report.freezes, 'nodes frozen'),
      n(report.serverStops, 'stops of the server'),
      n(report.shared, 'transitions in shared rows'),
      n(report.violations.length, 'violations'),
    ].join(', '),
  )
  if (report.violations.length === 0) rmSync(folder, { recursive: true })
  else say(`see ${folder}`)
  await cleanUp()
  return report.violations.length === 0 ? 0 : 1
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

process.exitCode = await main()
