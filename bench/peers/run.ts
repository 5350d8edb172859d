import { parseArgs } from 'node:util'
import { fail, namesOf, runsOf, UsageError } from '../command-line.ts'
import { describeMachine, isMemory } from '../machine.ts'
import { Progress } from '../progress.ts'
import { Scratch } from '../scratch.ts'
import { measurements } from './all-measurements.ts'
import { catalogue, type Entry, missingFor } from './catalogue.ts'
import { type Comparison, compare } from './measure.ts'
import type { FigureName } from './measurements.ts'
import { type PeersReport, toPeersTable } from './peers-report.ts'
import { describePeerVersions } from './versions.ts'

const peerNames = catalogue.map(({ name }) => name)
const families = [...new Set(catalogue.map(({ family }) => family))]
const figureNames = measurements.flatMap(({ names }) => names)

const usage = `npm run bench:peers -- [--only PEER,…] [--family NAME,…] [--figures NAME,…] [--runs N] [--json]
  --only     these peers and no others: ${peerNames.join(', ')}
  --family   those that keep their jobs in: ${families.join(', ')}
  --figures  these figures and no others: ${figureNames.join(', ')}
  --runs     how often each is measured, 1 to 99; 3 unless given
  --json     print JSON instead of the table`

interface Arguments {
  readonly entries: readonly Entry[]
  readonly figures: readonly FigureName[]
  readonly runs: number
  readonly json: boolean
}

function parse(): Arguments {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      family: { type: 'string', multiple: true },
      figures: { type: 'string', multiple: true },
      runs: { type: 'string', default: '3' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) throw new UsageError(usage)
  const only = namesOf(values.only, peerNames, 'peer', usage)
  const family = namesOf(values.family, families, 'family', usage)
  const figures = namesOf(values.figures, figureNames, 'figure', usage)
  return {
    entries: catalogue.filter((entry) => (only?.has(entry.name) ?? true) && (family?.has(entry.family) ?? true)),
    figures: figureNames.filter((name) => figures?.has(name) ?? true),
    runs: runsOf(values.runs, usage),
    json: values.json,
  }
}

async function measure({ entries, figures: asked, runs }: Arguments): Promise<PeersReport> {
  const bench = { runs, full: false, scratch: new Scratch(), progress: new Progress() }
  const machine = describeMachine(bench.scratch.root)
  if (isMemory(machine)) throw new UsageError(`${bench.scratch.root} is in memory: nothing there is flushed to a disk`)
  const present = entries.filter((entry) => missingFor(entry) === null)
  const comparisons: Comparison[] = []
  for (const measurement of measurements.filter(({ names }) => names.some((name) => asked.includes(name)))) {
    comparisons.push(await compare(bench, measurement, present))
  }
  bench.progress.end()
  return {
    machine,
    versions: describePeerVersions(entries),
    figures: comparisons
      .flatMap(({ figures }) => figures)
      .filter(({ name }) => asked.some((one) => name.endsWith(`.${one}`))),
    gaps: comparisons.flatMap(({ gaps }) => gaps),
  }
}

try {
  const given = parse()
  const report = await measure(given)
  console.log(given.json ? JSON.stringify(report, null, 2) : toPeersTable(report, given.entries, given.figures))
} catch (error) {
  fail(error)
}
