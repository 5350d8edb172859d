import { everywhere } from './compare.ts'
import type { Machine } from './machine.ts'
import type { Figure, Unit } from './question.ts'

/** What `--json` prints. */
export interface Report {
  readonly machine: Machine
  readonly versions: Readonly<Record<string, string>>
  readonly figures: readonly Figure[]
}

/** The report for people, in Markdown, to be pasted into the README. */
export function toTable({ machine, versions, figures }: Report): string {
  const { cpu, cores, memoryGb, system, filesystem } = machine
  const heading = ['figure', 'value', 'min … max', 'limit', 'share', 'runs', 'jobs', 'workers']
  const rows = figures.map(({ name, value, unit, limit, share, detail }) => [
    name,
    `${written(value, unit)} ${unit}`,
    detail.min === undefined ? '—' : `${written(detail.min, unit)} … ${written(detail.max, unit)}`,
    written(limit, unit),
    share === undefined ? '—' : `${Math.round(share * 100)} %`,
    written(detail.runs, 'jobs/s'),
    written(detail.jobs, 'jobs/s'),
    written(detail.workers, 'jobs/s'),
  ])
  return [
    `${cpu}, ${cores} cores, ${memoryGb} GB, ${filesystem}, ${system}; ${listed(versions)}`,
    `${everywhere.durability}; payload ${everywhere.payloadBytes} bytes; medians of the runs`,
    '',
    ...aligned([heading, ...rows]),
  ].join('\n')
}

/** `name version, name version` */
export function listed(versions: Report['versions']): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')
}

/** With as many digits as its unit needs; a dash if there is no number. */
export function written(value: unknown, unit: Unit): string {
  if (typeof value !== 'number') return '—'
  const digits = unit === 'jobs/s' || unit === 'requests/s' ? 0 : 2
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** A Markdown table; the given number of first columns are text, the others numbers. */
export function aligned(rows: readonly (readonly string[])[], texts = 1): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => (column < texts ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`
  const rule = `| ${widths.map((width, column) => (column < texts ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  const [heading, ...body] = rows
  return [line(heading!), rule, ...body.map(line)]
}
