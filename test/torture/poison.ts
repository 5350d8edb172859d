import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { createJobSystem } from '../../src/index.ts'
import { verifyFile } from '../../src/persistence/sqlite/verify/verify.ts'

/**
 * Jobs that kill their process among others that do not, on real processes that are started again at once. Prints a table, and ends with 1 where
 * an innocent job is dead, a poison job is not, or it took more restarts than it may.
 *
 *   npm run test:poison -- [--parallel 8] [--poison 1,2,4,16] [--after 0,1000,5000] [--innocents 50,200,5000] [--workers 10,100] [--base 50,1000]
 */
interface Cell {
  readonly poison: number
  /** How long each runs before it kills its process, in ms. */
  readonly afterMs: number
  /** How long an innocent runs, in ms. */
  readonly innocentMs: number
  readonly workers: number
  readonly retryBaseMs: number
}

interface Result extends Cell {
  readonly innocents: number
  readonly innocentsDead: number
  readonly poisonDead: number
  readonly restarts: number
  readonly seconds: number
  readonly violations: number
}

/** Fewer long ones, each of which takes two seconds alone. */
const innocentsOf = (ms: number) => (ms < 1_000 ? 200 : 20)
const restartsMax = 200
const victim = resolve('test/torture/poison-victim.mjs')

async function runCell(cell: Cell, folder: string): Promise<Result> {
  const began = performance.now()
  const database = join(folder, `${Object.values(cell).join('-')}.db`)
  const innocents = innocentsOf(cell.innocentMs)
  const producer = await createJobSystem({ database })
  await producer.enqueue(mix(cell, innocents))
  let restarts = 0
  while (!(await endsWell(cell, database)) && restarts < restartsMax) restarts++
  const dead = await deadOf(producer)
  await producer.stop()
  return {
    ...cell,
    innocents,
    innocentsDead: dead.filter((type) => type === 'innocent').length,
    poisonDead: dead.filter((type) => type === 'poison').length,
    restarts,
    seconds: Math.round((performance.now() - began) / 1_000),
    violations: verifyFile(database).violationCount,
  }
}

/** Poison spread evenly among the others, which kills by SIGKILL and by an abort in turn. */
function mix({ poison, afterMs, innocentMs }: Cell, innocents: number) {
  const every = Math.floor((innocents + poison) / poison)
  return Array.from({ length: innocents + poison }, (_, n) =>
    n % every === Math.floor(every / 2) && Math.floor(n / every) < poison
      ? { type: 'poison', payload: { ms: afterMs, how: Math.floor(n / every) % 2 === 0 ? 'kill' : 'abort' } }
      : { type: 'innocent', payload: { ms: innocentMs } },
  )
}

function endsWell({ workers, retryBaseMs }: Cell, database: string): Promise<boolean> {
  const given = JSON.stringify({ build: resolve('dist'), database, settings: { workers, retryBaseMs } })
  const child = spawn(process.execPath, ['--no-opt', victim, given], { stdio: 'ignore' })
  return new Promise((done) => child.once('close', (code) => done(code === 0)))
}

async function deadOf(system: Awaited<ReturnType<typeof createJobSystem>>): Promise<string[]> {
  const { jobs } = await system.list({ state: 'dead', limit: 500 })
  return jobs.map(({ type }) => type)
}

function isWell({ poison, innocentsDead, poisonDead, restarts, violations }: Result): boolean {
  return innocentsDead === 0 && poisonDead === poison && restarts <= 4 * poison + 2 && violations === 0
}

const numbers = (text: string) => text.split(',').map(Number)
const { values } = parseArgs({
  options: {
    parallel: { type: 'string', default: `${4 * availableParallelism()}` },
    poison: { type: 'string', default: '1,2,4,16' },
    after: { type: 'string', default: '0,1000,5000' },
    innocents: { type: 'string', default: '50,200,5000' },
    workers: { type: 'string', default: '10,100' },
    base: { type: 'string', default: '50,1000' },
  },
})
const cells = numbers(values.poison).flatMap((poison) =>
  numbers(values.after).flatMap((afterMs) =>
    numbers(values.innocents).flatMap((innocentMs) =>
      numbers(values.workers).flatMap((workers) =>
        numbers(values.base).map((retryBaseMs): Cell => ({ poison, afterMs, innocentMs, workers, retryBaseMs })),
      ),
    ),
  ),
)
const folder = mkdtempSync(join(tmpdir(), 'jobmachine-poison-'))
const waiting = [...cells].reverse()
let failed = 0
console.log(
  '| poison | kills after | innocents | workers | RETRY_BASE_MS | innocents dead | poison dead | restarts (at most) | s |',
)
console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- |')
async function lane(): Promise<void> {
  for (let cell = waiting.pop(); cell; cell = waiting.pop()) {
    const result = await runCell(cell, folder)
    const { poison, afterMs, innocents, innocentMs, workers, retryBaseMs, restarts, seconds, violations } = result
    const row = [poison, `${afterMs / 1_000} s`, `${innocents} × ${innocentMs} ms`, workers, retryBaseMs]
    const found = [result.innocentsDead, result.poisonDead, `${restarts} (${4 * poison + 2})`, seconds]
    const verdict = isWell(result) ? '' : ` FAILED${violations > 0 ? `, ${violations} violations` : ''}`
    console.log(`| ${[...row, ...found].join(' | ')} |${verdict}`)
    if (!isWell(result)) failed++
  }
}
await Promise.all(Array.from({ length: Number(values.parallel) }, lane))
rmSync(folder, { recursive: true })
console.log(`\n${cells.length} cells, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
