import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { escapeLine } from '../job/escape-controls.ts'
import { verifyFile } from '../persistence/sqlite/verify/verify.ts'
import { invariants, type VerifyReport } from '../persistence/store.ts'

/** Where the command writes: standard output and standard error of a process. */
export interface Output {
  write(text: string): void
  readonly isTTY?: boolean
}

/** Violations that are printed one by one. */
const toldMax = 100

/**
 * `jobmachine verify [file]`: checks a database, even a live one, and prints the result. Returns the exit code: 0, or 1 if it found a
 * violation.
 */
export function verifyCommand(path: string, out: Output, err: Output): number {
  if (!existsSync(path)) {
    err.write(
      `jobmachine: there is no file ${escapeLine(resolve(path))}; give the path of a database, such as data/jobs.db\n`,
    )
    return 1
  }
  const progress = err.isTTY
    ? (id: number, lastId: number) =>
        err.write(
          `\r${Math.min(id, lastId).toLocaleString('en')} of ${lastId.toLocaleString('en')} ids${id < lastId ? '' : '; checking the file'}`,
        )
    : undefined
  try {
    const report = verifyFile(path, progress)
    if (progress) err.write('\n')
    if (report.movedTo !== undefined) out.write(`its jobs have moved to ${escapeLine(report.movedTo)}\n`)
    return printReport(path, report, out)
  } catch (error) {
    err.write(
      `jobmachine: ${escapeLine(`${path} cannot be checked: ${error instanceof Error ? error.message : error}`)}\n`,
    )
    return 1
  }
}

/** Prints what a check found in `database`; returns the exit code. */
export function printReport(database: string, report: VerifyReport, out: Output): number {
  const { jobs, events, violations, violationCount } = report
  for (const { invariant, jobId, message } of violations.slice(0, toldMax)) {
    out.write(
      `${invariant} (${invariants[invariant]})${jobId === null ? '' : `, job ${jobId}`}: ${escapeLine(message)}\n`,
    )
  }
  if (violationCount > toldMax) out.write(`… and ${violationCount - toldMax} more\n`)
  out.write(`${escapeLine(database)}: ${jobs} jobs, ${events} events, ${violationCount} violations\n`)
  return violationCount === 0 ? 0 : 1
}
