import { openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LogOutput } from '../../src/cli/log.ts'
import { escapeControls } from '../../src/job/escape-controls.ts'
import { runCommand } from '../support/cli.ts'
import { tempFolder } from '../support/temp.ts'

const obeyed = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u
/** A title for the terminal, a colour by one byte, a text that runs from right to left. */
const hostile = 'a\x1b]0;owned\x07b\x9b31mc\x7f\u202ed\u2066e\u2028f'

test('JSON with escaped controls and direction marks means the same', () => {
  const all = Array.from({ length: 0x3000 }, (_, code) => String.fromCharCode(code))
  const value = { [hostile]: [hostile, all.join(''), all.map((character) => `\\${character}"`)] }

  const json = escapeControls(JSON.stringify(value))

  expect(json).not.toMatch(obeyed)
  expect(JSON.parse(json)).toEqual(value)
  expect(escapeControls('{"plain":"ä€😀"}')).toBe('{"plain":"ä€😀"}')
})

test('a log line has none', () => {
  const path = join(tempFolder(), 'log')
  const output = new LogOutput(openSync(path, 'w'), () => undefined)

  output.write(`${JSON.stringify({ msg: hostile })}\n`)

  const line = readFileSync(path, 'utf8')
  expect(line.slice(0, -1)).not.toMatch(obeyed)
  expect(JSON.parse(line)).toEqual({ msg: hostile })
})

test.each([
  ['verify', `/nowhere/${hostile}.db`],
  ['verify', hostile],
  ['backup', `/nowhere/${hostile}.db`, `/nowhere/${hostile}/copy`],
  [hostile],
  ['serve', hostile],
  ['serve', '--accept-loss', hostile],
])('a command’s output has none, whatever its name: %j', async (...args) => {
  const { stdout, stderr } = await runCommand(args, {
    folder: tempFolder(),
    env: { PORT: '0', BASE_PATH: hostile, DATABASE_PATH: `x${hostile}`, SMTP_HOST: hostile },
  })

  expect(`${stdout}${stderr}`.replaceAll('\n', '')).not.toMatch(obeyed)
  expect(stderr).toContain('\\u202e')
})
