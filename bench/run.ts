import { parseArgs } from 'node:util'
import { fail, namesOf, runsOf, UsageError } from './command-line.ts'
import { describeMachine, describeVersions, isMemory } from './machine.ts'
import { Progress } from './progress.ts'
import type { Figure, Question } from './question.ts'
import { questions } from './questions.ts'
import { type Report, toTable } from './report.ts'
import { Scratch } from './scratch.ts'

const defaultRuns = '5'
/** How long all of it takes with the default runs, on the machine of README.md. */
const minutes = 12

const usage = `npm run bench -- [--only NAME,…] [--runs N] [--full] [--json]
  --only   these figures and no others: ${questions.flatMap(({ names }) => names).join(', ')}
  --runs   how often each is measured, 1 to 99, ${defaultRuns} unless given; what takes minutes is measured once
  --full   for brief_…, the brief's own 50,000 jobs instead of 5,000: 19 minutes
  --json   print the JSON only, without the table`

interface Arguments {
  readonly only: ReadonlySet<string> | null
  readonly runs: number
  readonly full: boolean
  readonly json: boolean
}

function parse(): Arguments {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      runs: { type: 'string', default: defaultRuns },
      full: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) throw new UsageError(usage)
  const known = questions.flatMap(({ names }) => names)
  const { full, json } = values
  return { only: namesOf(values.only, known, 'figure', usage), runs: runsOf(values.runs, usage), full, json }
}

async function measure({ only, runs, full }: Arguments): Promise<Report> {
  const scratch = new Scratch()
  const progress = new Progress()
  const machine = describeMachine(scratch.root)
  if (isMemory(machine)) throw new UsageError(`${scratch.root} is in memory: nothing there is flushed to a disk`)
  const asked = (name: string) => only?.has(name) ?? true
  const asking = questions.filter(({ names }: Question) => names.some(asked))
  if (!only && !full && `${runs}` === defaultRuns) console.error(`This takes about ${minutes} minutes.`)
  const figures: Figure[] = []
  for (const [index, question] of asking.entries()) {
    progress.moveTo(`${index + 1}/${asking.length}`)
    figures.push(...(await question.measure({ runs, full, scratch, progress })).filter(({ name }) => asked(name)))
  }
  progress.end()
  return { machine, versions: describeVersions(), figures }
}

try {
  const given = parse()
  const report = await measure(given)
  if (!given.json) console.log(`${toTable(report)}\n`)
  console.log(JSON.stringify(report, null, given.json ? 2 : 0))
} catch (error) {
  fail(error)
}
