import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { briefly } from '../support/built.ts'
import { patchedBuild } from '../support/patched-build.ts'
import { startServer } from '../support/server-process.ts'
import { isWhole } from '../support/share.ts'
import { tempFolder } from '../support/temp.ts'

const state = `
        paused: {
            description: 'held back by a user',
            tags: 'waiting',
            on: { resume: 'queued', cancel: 'cancelled' },
        },
        leased: {`
const command = (event: string, done: string) => `
    ${event}: {
        cause: 'person',
        what: 'is ${done}',
        who: 'a user',
        next: 'a user ${event}s it',
        command: { done: '${done}', summary: 'To ${event}', description: '', answer: 'The job.', isDangerous: false },
    },`

/**
 * All that a state with two commands takes, but for what is of types alone (a line for each event in `JobEvent`, one for each command in
 * `JobSystem`), and the migration that makes its checks.
 */
const paused = [
  { file: 'machines/job.js', text: '\n        leased: {', replace: state },
  { file: 'machines/job.js', text: "lease: 'leased', ", replace: "lease: 'leased', pause: 'paused', " },
  {
    file: 'machines/events.js',
    text: '\n    requeue: {',
    replace: `${command('pause', 'paused')}${command('resume', 'resumed')}\n    requeue: {`,
  },
  {
    file: 'persistence/sqlite/migrations/0014.js',
    text: "state TEXT NOT NULL CHECK ((state = 'blocked' OR ",
    replace: "state TEXT NOT NULL CHECK ((state = 'paused' OR state = 'blocked' OR ",
  },
  {
    file: 'persistence/sqlite/migrations/0014.js',
    text: "((OLD.state = 'blocked' AND",
    replace: `((OLD.state = 'queued' AND NEW.state = 'paused') OR
      (OLD.state = 'paused' AND (NEW.state = 'queued' OR NEW.state = 'cancelled')) OR (OLD.state = 'blocked' AND`,
  },
]

test.runIf(isWhole)(
  'a state with two commands that is described once is stored, sent, shown, explained, counted and documented',
  async () => {
    const folder = tempFolder()
    const build = patchedBuild(tempFolder(), paused)
    const { url } = await startServer({ WORKER_COUNT: '1' }, folder, join(build, 'main.js'))
    const get = async (path: string) => (await fetch(url + path)).text()
    const json = async (path: string) => JSON.parse(await get(path))
    const post = async (path: string, body?: unknown) => {
      const headers = { 'content-type': 'application/json' }
      const json = body === undefined ? {} : { headers, body: JSON.stringify(body) }
      return (await fetch(url + path, { method: 'POST', ...json })).status
    }
    const submit = async (path: string) => {
      const init = { method: 'POST', body: new URLSearchParams(), redirect: 'manual' } as const
      return (await fetch(url + path, init)).status
    }
    const sleep = { type: 'sleep', payload: { ms: 60_000 } }
    await post('/jobs', [{ ...sleep, priority: 1 }, sleep, sleep])

    const sent = [await post('/jobs/2/pause'), await submit('/dashboard/jobs/3/pause'), await post('/jobs/2/pause')]
    const { summary, next, earliest, earliest_run_at } = await json('/jobs/2/explain')
    const { jobs } = await json('/jobs?state=paused')
    const page = await get('/dashboard/jobs/2')
    const { paths, components } = await json('/openapi.json')
    await post('/bulk', { command: 'resume' })
    let bulk = (await json('/bulk')).bulk[0]
    while (bulk.phase === 'counting') bulk = (await json('/bulk')).bulk[0]
    await post(`/bulk/${bulk.id}/run`, { matched: bulk.matched })
    while (bulk.phase !== 'done') bulk = (await json('/bulk')).bulk[0]

    expect(sent).toEqual([200, 303, 409])
    expect(summary).toMatch(
      /^Job 2 \(sleep\) is paused: it stays paused until a user resumes it\. An HTTP client paused it .*\. It can run when a user resumes it\.$/,
    )
    expect([earliest, earliest_run_at]).toEqual(['when a user resumes it', null])
    expect(next.map((to: { event: string; possible: boolean }) => [to.event, to.possible])).toEqual([
      ['resume', true],
      ['cancel', true],
    ])
    expect(jobs.map(({ id }: { id: number }) => id)).toEqual([3, 2])
    expect(page).toMatch(/action="\/dashboard\/jobs\/2\/resume"/)
    expect(page).not.toMatch(/action="\/dashboard\/jobs\/2\/pause"/)
    expect(await get('/dashboard/jobs')).toMatch(/<option value="paused"/)
    expect(await get('/machine.svg')).toMatch(/id="edge-paused-resume-queued"/)
    expect(await get('/metrics/prometheus')).toContain('jobmachine_jobs{state="paused"} 0')
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/jobs/{id}/pause', '/jobs/{id}/resume']))
    expect(JSON.stringify(components.schemas.Job)).toContain('"paused"')
    expect([bulk.moved, (await json('/jobs/2/history')).history.map(({ event }: { event: string }) => event)]).toEqual([
      2,
      ['enqueue', 'pause', 'resume'],
    ])
    const verified = execFileSync(process.execPath, [
      ...briefly,
      join(build, 'main.js'),
      'verify',
      join(folder, 'jobs.db'),
    ])
    expect(`${verified}`).toMatch(/: 3 jobs, 9 events, 0 violations\n$/)
  },
)
