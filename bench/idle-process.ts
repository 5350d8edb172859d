import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { IdleReading } from './questions/idle.ts'

/** Serves as the command does, and reports on itself. */
const [folder, settleMs, measureMs] = process.argv.splice(2) as [string, string, string]
process.argv.push('serve')
process.env.DATABASE_PATH = join(folder, 'jobs.db')
process.env.PORT = '0'
process.env.LOG_LEVEL = 'error'
// The server reads its version from there.
copyFileSync(join(import.meta.dirname, '../../package.json'), join(import.meta.dirname, '../package.json'))
await import('../src/main.ts')
await sleep(Number(settleMs))
const { rss, heapUsed } = process.memoryUsage()
const before = process.cpuUsage()
await sleep(Number(measureMs))
const { user, system } = process.cpuUsage(before)
process.send!({
  rssMb: rss / 1_000_000,
  heapMb: heapUsed / 1_000_000,
  cpuMs: (user + system) / 1_000,
} satisfies IdleReading)
