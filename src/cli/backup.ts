import { escapeLine } from '../job/escape-controls.ts'
import { backUp } from '../persistence/sqlite/file/backup.ts'
import type { Output } from './verify.ts'

/** A backup that takes longer than this, in ms, reports its progress. */
const quietMs = 2_000

/** `jobmachine backup [file] TARGET`: copies a database, even a live one. Returns the exit code: 0, or 1 if no backup was made. */
export async function backupCommand(path: string, target: string, out: Output, err: Output): Promise<number> {
  const startedAt = performance.now()
  let toldAt = startedAt
  const onCopied = (pages: number, ofPages: number) => {
    const now = performance.now()
    if (now - startedAt < quietMs || now - toldAt < quietMs) return
    toldAt = now
    err.write(`${Math.floor((100 * pages) / ofPages)} % copied\n`)
  }
  try {
    const { bytes, transitions, jobs } = await backUp(path, target, onCopied)
    out.write(
      `${escapeLine(target)}: ${bytes.toLocaleString('en')} bytes, up to transition ${transitions} and job ${jobs}, checked and flushed\n`,
    )
    return 0
  } catch (error) {
    err.write(`jobmachine: no backup was made: ${escapeLine(`${error instanceof Error ? error.message : error}`)}\n`)
    return 1
  }
}
