import { aligned, listed, type Report, written } from '../report.ts'
import { type Entry, missingFor } from './catalogue.ts'
import type { Gap } from './measure.ts'
import type { FigureName } from './measurements.ts'

/** What `--json` prints. */
export interface PeersReport extends Report {
  readonly gaps: readonly Gap[]
}

/** The report for people, in Markdown: a row a peer, a column a figure. */
export function toPeersTable(report: PeersReport, entries: readonly Entry[], names: readonly FigureName[]): string {
  const { machine, versions, figures, gaps } = report
  const { cpu, cores, memoryGb, system, filesystem } = machine
  const heading = ['peer', 'an acknowledgement survives', ...names]
  const rows = entries.map((entry) => {
    const cells = names.map((name) => {
      const figure = figures.find((one) => one.name === `${entry.name}.${name}`)
      return written(figure?.value, figure?.unit ?? 'jobs/s')
    })
    const missing = missingFor(entry)
    return [entry.name, missing === null ? entry.survives : `skipped: ${missing}`, ...cells]
  })
  const detail = figures[0]?.detail
  return [
    `${cpu}, ${cores} cores, ${memoryGb} GB, ${filesystem}, ${system}; ${listed(versions)}`,
    `jobs/s and ms; payload ${detail?.payloadBytes} bytes; medians of ${detail?.runs} runs`,
    '',
    ...aligned([heading, ...rows], 2),
    ...sharesOf(report, entries, names),
    ...gaps.map(({ peer, reason }) => `\n${peer}: ${reason}`),
  ].join('\n')
}

const onServer = 'jobmachine-postgres'
const rates: readonly FigureName[] = ['enqueue_lanes', 'enqueue_bulk', 'drain', 'bulk_drain', 'end_to_end', 'steady']

/** How many times as fast jobmachine on PostgreSQL is as each of the others on it. */
function sharesOf({ figures }: PeersReport, entries: readonly Entry[], names: readonly FigureName[]): string[] {
  const rateOf = (entry: string, name: FigureName) => figures.find((one) => one.name === `${entry}.${name}`)?.value
  const asked = rates.filter((name) => names.includes(name) && rateOf(onServer, name) !== undefined)
  const others = entries.filter(({ name, family }) => family === 'postgres' && name !== onServer)
  if (asked.length === 0 || others.length === 0) return []
  const rows = others.map(({ name }) => [
    name,
    ...asked.map((rate) => {
      const theirs = rateOf(name, rate)
      return written(theirs && Number(rateOf(onServer, rate)) / theirs, 'ratio')
    }),
  ])
  return ['', ...aligned([[`${onServer}, times`, ...asked], ...rows])]
}
