import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, TestRunner } from 'vitest'

const leftToGroup: (() => Promise<void>)[] = []

/** Runs `clean` after the running test, or, if called from a `beforeAll` or a concurrent test, when its group calls `cleanUp`. */
export function whenDone(clean: () => unknown): void {
  const cleaned = async () => void (await clean())
  const running = TestRunner.getCurrentTest()
  // If several are running, this is the one that began last, which need not be the caller.
  if (!running || running.concurrent) leftToGroup.push(cleaned)
  else onTestFinished(cleaned)
}

/** For the `afterAll` of a group whose `beforeAll` opened something: undoes it, the last first. */
export async function cleanUp(): Promise<void> {
  for (const clean of leftToGroup.splice(0).reverse()) await clean()
}

/** A new folder, removed when its test or group is done. */
export function tempFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'jobmachine-'))
  whenDone(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The same in memory, if possible: for tests that simulate the disk, or do not depend on a flush. */
export function memoryFolder(): string {
  return existsSync('/dev/shm') ? tempFolder('/dev/shm') : tempFolder()
}
