import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { patchedBuild } from '../support/patched-build.ts'
import type { Mutation } from './mutation.ts'

const run = promisify(execFile)
const vitest = resolve('node_modules/vitest/vitest.mjs')
/** A test that a bug makes wait forever is ended after this, in ms; if it takes as long without the bug, it gets four times as much. */
const patienceMs = 10_000
const patienceMaxMs = 640_000

/** What became of one test. */
export interface Result {
  readonly status: 'passed' | 'failed' | 'skipped' | 'missing'
  /** Why it failed. */
  readonly message: string
}

/** Runs the test that must catch a bug against a copy of the built code that has it. Throws where that copy cannot be loaded. */
export async function tryMutation({ patches, caughtBy }: Mutation, folder: string): Promise<Result> {
  const build = patchedBuild(folder, patches)
  for (const file of new Set(patches.map(({ file }) => file))) {
    const url = pathToFileURL(join(build, file)).href
    await run(process.execPath, ['--input-type=module', '--eval', `await import(${JSON.stringify(url)})`])
  }
  const result = await runPatiently(caughtBy, folder, build)
  rmSync(folder, { recursive: true })
  return result
}

/** Tells a test that waits because of the bug from one that is late because the machine is busy: without the bug it is in time. */
async function runPatiently(test: Mutation['caughtBy'], folder: string, build: string): Promise<Result> {
  for (let patience = patienceMs; ; patience *= 4) {
    const options = timeouts(patience)
    const result = resultOf(await runTests([test], folder, { build, options }), test)
    const isLate = result.status === 'failed' && /timed out in \d+ ?ms/.test(result.message)
    if (!isLate) return result
    const without = resultOf(await runTests([test], folder, { options }), test)
    if (without.status === 'passed') return result
    if (patience >= patienceMaxMs)
      return { status: 'missing', message: `it is late without the bug: ${without.message}` }
  }
}

const timeouts = (ms: number) => ['--testTimeout', `${ms}`, '--hookTimeout', `${ms}`]

/** Runs tests as they are; gives those that do not pass. */
export async function findFailing(tests: readonly Mutation['caughtBy'][], folder: string): Promise<string[]> {
  const results = await runTests(tests, folder)
  return tests.flatMap((test) => {
    const { status, message } = resultOf(results, test)
    return status === 'passed' || status === 'skipped' ? [] : [`${test.file} > ${test.test}: ${status} ${message}`]
  })
}

interface Report {
  readonly testResults: readonly {
    readonly name: string
    /** Where the file could not even be loaded. */
    readonly message: string
    readonly assertionResults: readonly {
      readonly fullName: string
      readonly status: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}

async function runTests(
  tests: readonly Mutation['caughtBy'][],
  folder: string,
  { build, options = [] }: { readonly build?: string; readonly options?: readonly string[] } = {},
): Promise<Report> {
  const output = join(folder, 'report.json')
  const files = [...new Set(tests.map(({ file }) => `test/${file}`))]
  const names = `^(${[...new Set(tests.map(({ test }) => escaped(test)))].join('|')})$`
  const args = [
    ['--testNamePattern', names],
    ['--maxWorkers', '1'],
    ['--reporter', 'json'],
    ['--outputFile', output],
  ].flat()
  // Told apart by its report, not by how it ends: it ends with 1 where a test fails.
  await run(process.execPath, [vitest, 'run', ...files, ...args, ...options], {
    env: { ...process.env, ...(build ? { JOBMACHINE_BUILD: build } : {}) },
  }).catch(() => {})
  return JSON.parse(readFileSync(output, 'utf8'))
}

function resultOf({ testResults }: Report, { file, test }: Mutation['caughtBy']): Result {
  const ran = testResults.find(({ name }) => name === resolve('test', file))
  const found = ran?.assertionResults.find(({ fullName }) => fullName === test)
  if (!found) return { status: 'missing', message: ran?.message ?? 'the file did not run' }
  const status = found.status === 'passed' || found.status === 'failed' ? found.status : 'skipped'
  return { status, message: found.failureMessages.join('\n') }
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
