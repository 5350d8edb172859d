import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'

test('the code meets every target that `npm run measure` prints', () => {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['scripts/measure.js'], {
    cwd: resolve(import.meta.dirname, '..'),
    encoding: 'utf8',
  })

  expect(stdout.split('\n').filter((line) => line.includes('; MISSED)'))).toEqual([])
  expect(status, `it ended with ${signal ?? status}: ${stderr}`).toBe(0)
})
