import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { isKilledEarly } from '../../src/cli/container.ts'
import { briefly, built } from '../support/built.ts'
import { tempFolder, whenDone } from '../support/temp.ts'

describe('a grace of 25 s', () => {
  test.each([
    ['in a container of Docker', ['/.dockerenv'], true],
    ['in a container of Podman', ['/run/.containerenv'], true],
    ['in none', [], false],
  ])('%s ends after the container does: %s', (_, files, isEarly) => {
    expect(isKilledEarly(25_000, (path) => (files as string[]).includes(path))).toBe(isEarly)
  })
})

test('a grace that ends in time causes no warning', () => {
  expect(isKilledEarly(8_000, () => true)).toBe(false)
})

/** The lines that a real server logs until it listens, in a file system that looks like a container's. */
async function linesInContainer(env: Record<string, string>): Promise<string[]> {
  const inContainer = 'mount -t tmpfs tmpfs /run && touch /run/.containerenv && exec "$0" "$@"'
  const args = ['--mount', 'sh', '-c', inContainer, process.execPath, ...briefly, built('main.js')]
  const child = spawn('unshare', args, {
    cwd: tempFolder(),
    env: { PATH: process.env.PATH ?? '', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  whenDone(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line)
    if (line.includes('"listening"')) break
  }
  return lines
}

test('a server in a container that may be killed early warns at start, unless someone has chosen the grace', async ({
  skip,
}) => {
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/run'], { stdio: 'ignore' })
  } catch {
    return skip('no file system can be mounted here')
  }
  const [unset, set] = await Promise.all([linesInContainer({}), linesInContainer({ SHUTDOWN_GRACE_MS: '25000' })])

  expect(unset.map((line) => JSON.parse(line))).toContainEqual(
    expect.objectContaining({
      level: 40,
      shutdown_grace_ms: 25_000,
      msg: expect.stringContaining('stop_grace_period'),
    }),
  )
  expect(set.join()).not.toContain('stop_grace_period')
})
