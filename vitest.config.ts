import { existsSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { relative, resolve } from 'node:path'
import { defineConfig, type Plugin } from 'vitest/config'
import { LongestFirst } from './test/support/longest-first.ts'

const source = resolve(import.meta.dirname, 'src')
/** Another folder stands for it where a seeded bug is to be caught: see test/mutation. */
const built = process.env.JOBMACHINE_BUILD ?? resolve(import.meta.dirname, 'dist')

/** As `npm run test:proof` runs them: see test/support/share.ts. */
const isWhole = process.env.PROOFS === 'whole'

/** In bytes: Docker gives a container 64 MiB, which is too little. */
const memoryMin = 2 ** 30
/**
 * In memory, where there is enough of it: what a test says of a database does not depend on how long a disk takes to flush. The proofs that run
 * whole have the disk.
 */
function temporaryFolder(): string {
  const memory = '/dev/shm'
  if (isWhole || process.env.TMPDIR || !existsSync(memory)) return tmpdir()
  const { bavail, bsize } = statfsSync(memory)
  return bavail * bsize < memoryMin ? tmpdir() : memory
}

/** Tests import `src/*.ts` and run `dist/*.js`: what ships is what is tested, and Node 20 can start the store's thread from it. */
const runBuiltCode: Plugin = {
  name: 'run-built-code',
  enforce: 'pre',
  resolveId(path, importer) {
    if (!importer || !path.startsWith('.')) return
    const target = resolve(importer, '..', path)
    if (target.startsWith(`${source}/`)) return resolve(built, relative(source, target).replace(/\.tsx?$/, '.js'))
  },
}

export default defineConfig({
  plugins: [runBuiltCode],
  test: {
    include: ['test/**/*.test.ts'],
    // Those have a command of their own.
    exclude: ['node_modules/**', 'test/servers/**'],
    // The server that tests start ends with this process.
    env: { TMPDIR: temporaryFolder(), TESTS_PID: String(process.pid) },
    setupFiles: ['test/support/threads-here.ts', 'test/support/new-files.ts'],
    // Far beyond what any takes on a busy machine: they end those that hang.
    testTimeout: isWhole ? 3_600_000 : 120_000,
    hookTimeout: isWhole ? 3_600_000 : 120_000,
    expect: { poll: { timeout: 90_000 } },
    // Two more than the cores of the smallest machine that runs them: many wait for a process, a clock or a browser.
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    // Most code runs too briefly to be worth optimising: what runs eight times as long as by default is optimised. What runs whole runs as it
    // would in use.
    execArgv: isWhole ? [] : ['--interrupt-budget=1000000'],
    // A worker loads the modules once, not once for each file: 20 s less.
    isolate: false,
    // Run as Node.js runs it, not as Vite rewrites it: that takes less time, and what ships is not rewritten.
    server: { deps: { external: [new RegExp(`^${built}/`)] } },
  },
})
