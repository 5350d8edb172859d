import { escapeLine } from '../job/escape-controls.ts'
import { compact } from '../persistence/sqlite/file/compact.ts'
import type { Output } from './verify.ts'

/** `jobmachine compact [file]`: rewrites a database that no server has open. Throws as `compact` does. */
export function compactCommand(
  path: string,
  made: { readonly newDatabaseId: string; readonly now: number },
  out: Output,
  err: Output,
): void {
  const { bytesBefore, bytesAfter } = compact(path, made, (bytes) =>
    err.write(`rewriting ${bytes.toLocaleString('en')} bytes\n`),
  )
  out.write(
    `${escapeLine(path)}: ${bytesBefore.toLocaleString('en')} bytes before, ${bytesAfter.toLocaleString('en')} now\n`,
  )
}
