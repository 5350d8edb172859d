import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, onTestFinished } from 'vitest'

/** Runs `clean` after the running test, or, called from a `beforeAll`, after its group. */
export function whenDone(clean: () => unknown): void {
  const cleaned = async () => void (await clean())
  try {
    onTestFinished(cleaned)
  } catch {
    // It throws outside a test.
    afterAll(cleaned)
  }
}

/** A folder of its own, removed when its test or group is done. */
export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'jobmachine-'))
  whenDone(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
