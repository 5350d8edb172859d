import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { isWhole } from './support/share.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '..')

test.runIf(isWhole)('the package’s types compile with a strict compiler that checks every declaration', async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')

  // What has not changed since the last time is not checked again.
  const known = ['--incremental', '--tsBuildInfoFile', 'node_modules/.cache/types.tsbuildinfo']

  const { stdout } = await run(process.execPath, [tsc, '-p', 'test/types', ...known], { cwd: root }).catch(
    (error) => error,
  )

  expect(stdout).toBe('')
})
