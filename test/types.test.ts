import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '..')

test('the package’s types compile with a strict compiler that checks every declaration', async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')

  const { stdout } = await run(process.execPath, [tsc, '-p', 'test/types'], { cwd: root }).catch((error) => error)

  expect(stdout).toBe('')
})
