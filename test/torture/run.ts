import { fork } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { harmed } from '../crash/files.ts'
import { kills } from '../crash/kills.ts'
import { cuts } from '../crash/power-cut.ts'
import { walk, walks } from '../model/walk.ts'
import { simulate, simulations } from '../simulation/simulation.ts'
import { lengthOf } from '../support/length.ts'
import { emptyTally, type Ordeal, type Tally } from './ordeal.ts'
import { report } from './report.ts'

const usage = `npm run test:torture -- [LENGTH] [--only NAME,…] [--from SEED]
npm run test:torture -- --seed SEED     one simulation, told line by line
npm run test:torture -- --walk SEED     the walks of one seed, the failing one shrunk

LENGTH: such as 30s, 10m (the default is 1m) or 8h.`

const ordeals: Readonly<Record<string, Ordeal>> = { simulations, walks, kills, cuts, files: harmed }
/** How long one process of an ordeal lasts, so that none grows without bound; in s. */
const shiftS = 20
/** How much longer than its shift a process may take to finish, in s. */
const overtimeS = 120

interface Shift {
  readonly name: string
  readonly seed: number
  readonly seconds: number
}

/** In memory if possible, because most of the tortures are not about the disk. */
function makeFolder(): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'jobmachine-torture-'))
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: 'string' },
      walk: { type: 'string' },
      from: { type: 'string' },
      only: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) return say(usage)
  if (values.seed) return tellSimulation(Number(values.seed))
  if (values.walk) return tellWalk(Number(values.walk))
  const lengthMs = lengthOf(positionals[0] ?? '1m')
  const names = values.only?.split(',') ?? Object.keys(ordeals)
  if (!lengthMs || names.some((name) => !ordeals[name])) {
    say(`${usage}\n\nNAME: ${Object.keys(ordeals).join(', ')}`)
    return 2
  }
  const from = values.from === undefined ? Math.floor(Date.now() / 1_000) : Number(values.from)
  return torture(names, lengthMs / 1_000, from)
}

/** All ordeals at once, each in one process after another. */
async function torture(names: readonly string[], seconds: number, from: number): Promise<number> {
  say(`${seconds} s of ${names.join(', ')}, seeds from ${from}`)
  const total = emptyTally()
  const endAt = performance.now() + seconds * 1_000
  const leftS = () => (endAt - performance.now()) / 1_000
  const run = async (name: string) => {
    for (let seed = from; leftS() > 0; seed += 100_000) {
      const tally = await inProcess({ name, seed, seconds: Math.min(shiftS, leftS()) })
      add(total, tally)
      say(`${Math.max(0, Math.round(leftS()))} s left: ${inWords(total)}`)
    }
  }
  await Promise.all(names.map(run))
  const edgeNames = [...new Set([...(await edgesOfMachine()), ...total.edges.keys()])]
  // Kills and cuts alone are not meant to take every edge.
  const untaken = total.steps > 0 ? edgeNames.filter((edge) => !total.edges.has(edge)) : []
  say(report(edgeNames, total.edges))
  for (const violation of total.violations) say(violation)
  say(inWords(total))
  return total.violations.length + untaken.length > 0 ? 1 : 0
}

async function edgesOfMachine(): Promise<string[]> {
  const { edges } = await import('../../src/machines/edges.ts')
  return edges.map(({ from, event, to }) => `${from} ${event} ${to}`)
}

/** Works one shift in a separate process; a process that neither ends nor answers is itself a violation. */
function inProcess(shift: Shift): Promise<Tally> {
  return new Promise((resolve) => {
    const child = fork(import.meta.filename, ['--shift', JSON.stringify(shift)], { serialization: 'advanced' })
    const again = `npm run test:torture -- ${Math.ceil(shift.seconds)}s --only ${shift.name} --from ${shift.seed}`
    let tally: Tally | undefined
    const timer = setTimeout(() => child.kill('SIGKILL'), (shift.seconds + overtimeS) * 1_000)
    child.on('message', (told: Tally) => {
      tally = told
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      resolve(tally ?? { ...emptyTally(), violations: [`${again}: its process ended with ${signal ?? code}`] })
    })
  })
}

async function work({ name, seed, seconds }: Shift): Promise<void> {
  const folder = makeFolder()
  const now = performance.now.bind(performance)
  const endAt = now() + seconds * 1_000
  const tally = emptyTally()
  await ordeals[name]!({ seed, folder, tally, isOver: () => now() > endAt })
  if (tally.violations.length === 0) rmSync(folder, { recursive: true, force: true })
  process.send!(tally, () => process.exit(0))
}

async function tellSimulation(seed: number): Promise<number> {
  const { trace, violations, steps, crashes } = await simulate(seed, makeFolder())
  for (const line of [...trace, ...violations]) say(line)
  say(`seed ${seed}: ${steps} events, ${crashes} crashes, ${violations.length} violations`)
  return violations.length > 0 ? 1 : 0
}

async function tellWalk(seed: number): Promise<number> {
  const { steps } = await walk(makeFolder(), { seed })
  return say(`the walks of seed ${seed}: ${steps} commands, each as the machine says`)
}

function add(total: Tally, { kills, cuts, harms, seeds, steps, edges, violations }: Tally): void {
  total.kills += kills
  total.cuts += cuts
  total.harms += harms
  total.seeds += seeds
  total.steps += steps
  for (const [edge, times] of edges) total.edges.set(edge, (total.edges.get(edge) ?? 0) + times)
  total.violations.push(...violations)
}

function inWords({ kills, cuts, harms, seeds, steps, violations }: Tally): string {
  const n = (count: number, what: string) => `${count.toLocaleString('en')} ${what}`
  const did = [
    n(kills, 'kills'),
    n(cuts, 'power cuts'),
    n(harms, 'harmed files'),
    n(seeds, 'simulation seeds'),
    n(steps, 'steps'),
  ]
  return `${did.join(', ')}, ${n(violations.length, 'violations')}`
}

function say(line: string): 0 {
  process.stdout.write(`${line}\n`)
  return 0
}

if (process.argv[2] === '--shift') await work(JSON.parse(process.argv[3]!) as Shift)
else process.exitCode = await main()
