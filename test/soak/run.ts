import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { lengthOf } from '../support/length.ts'
import { soak } from './soak.ts'

const usage = `npm run soak -- [LENGTH] [--from SEED]

LENGTH: such as 30s, 10m (the default) or 8h. The seed makes the choices of the load, not the timing of the machine.`

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
  const folder = mkdtempSync(join(tmpdir(), 'jobmachine-soak-'))
  say(`${lengthMs / 1_000} s in ${folder}, seed ${seed}`)
  const { violations, trends, retention, ends, acknowledged, starts } = await soak({ lengthMs, seed, folder, say })
  for (const violation of violations.slice(0, 50)) say(violation)
  say(
    `${acknowledged.toLocaleString('en')} jobs acknowledged, ${starts.toLocaleString('en')} starts, ${ends.sigterm} SIGTERM, ${ends.sigkill} SIGKILL, ${violations.length} violations`,
  )
  if (violations.length === 0) rmSync(folder, { recursive: true })
  const isFlat = trends.every((trend) => trend.isFlat) && retention.isCheap
  say(
    `${violations.length === 0 ? 'nothing lost' : `SOMETHING IS WRONG, see ${folder}`}; ${isFlat ? 'flat' : 'NOT FLAT'}`,
  )
  return violations.length === 0 && isFlat ? 0 : 1
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

process.exitCode = await main()
