import { z } from 'zod'
import { commandFacts, commands } from '../../engine/front-door.ts'
import { eventsQuery, historyQuery, listQuery, machineQuery, noQuery, pathQuery } from '../query.ts'
import type { RefusalCode } from '../refusals.ts'
import { bulk, bulkConfirmation, bulkList, bulkRequest } from '../wire/bulk.ts'
import { explanation } from '../wire/explanation.ts'
import { live, notReady, ready } from '../wire/health.ts'
import { history } from '../wire/history.ts'
import { enqueuedJob, enqueuedJobOrJobs, job, jobList, newJob, newJobOrJobs } from '../wire/job.ts'
import { machine } from '../wire/machine.ts'
import { metrics } from '../wire/metrics.ts'
import { named } from '../wire/wire.ts'
import type { Operation, Operations } from './operation.ts'

const openApi = named('OpenApi', z.looseObject({ openapi: z.string() }).describe('OpenAPI 3.1.'))

const later = { type: 'sleep', payload: { ms: 5 }, delay_ms: 60_000 }
const deadOnes = { command: 'requeue', type: 'sleep', text: 'timeout', created_from: '2030-01-31T00:00:00Z' }
const takesJobs: readonly RefusalCode[] = ['invalid_input', 'invalid_payload', 'unknown_type', 'idempotency_conflict']
const svg = ['image/svg+xml']
const created = 'The job is on disk.'
const replayed = 'The idempotency key was used before with the same content; this is that job.'

const commandOperations: Operations = Object.fromEntries(
  commands.map((command) => {
    const { summary, description, answer } = commandFacts(command)
    const POST: Operation = {
      id: `${command}Job`,
      tag: 'Jobs',
      summary,
      description,
      answers: { 200: { description: answer, body: job } },
      refusals: ['illegal_transition'],
      examples: [{ summary: 'the first', status: 200 }],
    }
    return [`/jobs/:id/${command}`, { POST }]
  }),
)

/** The API: every route that programs use, by its path in the route table of app.ts. */
export const operations: Operations = {
  '/createJob': {
    POST: {
      id: 'createJob',
      tag: 'Jobs',
      summary: 'Create one job',
      body: newJob,
      answers: {
        201: { description: created, body: enqueuedJob, headers: ['Location'] },
        200: { description: replayed, body: enqueuedJob, headers: ['Location', 'Idempotent-Replayed'] },
      },
      refusals: takesJobs,
      examples: [
        { summary: 'a job that runs in a minute', status: 201, body: later },
        { summary: 'a job with a key', status: 201, body: { ...later, idempotency_key: 'order-4711', max_retries: 5 } },
      ],
    },
  },
  '/jobs': {
    GET: {
      id: 'listJobs',
      tag: 'Jobs',
      summary: 'List jobs, newest first',
      description:
        'One request looks on until it has found a job, as far as ten million ids, and gives a few megabytes at most: go on with `next_cursor` until it is `null`.',
      query: listQuery,
      answers: { 200: { description: 'A page of jobs.', body: jobList } },
      refusals: ['backpressure'],
      examples: [{ summary: 'the newest', status: 200, query: 'type=sleep&limit=10' }],
    },
    POST: {
      id: 'createJobs',
      tag: 'Jobs',
      summary: 'Create one job or many',
      description: 'An array is one transaction: all of its jobs are stored or none, and it is answered in its order.',
      body: newJobOrJobs,
      answers: {
        201: {
          description: 'All jobs are on disk, and at least one is new.',
          body: enqueuedJobOrJobs,
          headers: ['Location'],
        },
        200: {
          description: 'None is new: each has a key that was used before with the same content.',
          body: enqueuedJobOrJobs,
          headers: ['Location', 'Idempotent-Replayed'],
        },
      },
      refusals: takesJobs,
      examples: [{ summary: 'two jobs', status: 201, body: [later, { ...later, delay_ms: 120_000, priority: 10 }] }],
    },
  },
  '/jobs/:id': {
    GET: {
      id: 'showJob',
      tag: 'Jobs',
      summary: 'Show one job',
      answers: { 200: { description: 'The job.', body: job } },
      refusals: ['backpressure'],
      examples: [{ summary: 'the first', status: 200 }],
    },
  },
  '/jobs/:id/history': {
    GET: {
      id: 'showHistory',
      tag: 'Jobs',
      summary: 'Show every transition that a job made',
      query: historyQuery,
      answers: { 200: { description: 'Its transitions.', body: history } },
      refusals: ['backpressure'],
      examples: [{ summary: 'of the first job', status: 200, query: 'limit=100' }],
    },
  },
  '/jobs/:id/explain': {
    GET: {
      id: 'explainJob',
      tag: 'Jobs',
      summary: 'Say why a job is where it is, what can happen next and what stands in the way',
      query: noQuery,
      answers: { 200: { description: 'As it is now.', body: explanation } },
      refusals: ['backpressure'],
      examples: [{ summary: 'the first job', status: 200 }],
    },
  },
  '/jobs/:id/machine.svg': {
    GET: {
      id: 'drawJob',
      tag: 'Jobs',
      summary: 'Draw the path that a job took through its machine',
      query: pathQuery,
      answers: { 200: { description: 'A picture.', texts: svg } },
      refusals: ['backpressure'],
      examples: [{ summary: 'of the first job, when it was new', status: 200, query: 'at=1' }],
    },
  },
  ...commandOperations,
  '/bulk': {
    GET: {
      id: 'listBulks',
      tag: 'Jobs',
      summary: 'List the last commands over many jobs',
      answers: { 200: { description: 'At most 20.', body: bulkList } },
      refusals: ['backpressure'],
      examples: [{ summary: 'all', status: 200 }],
    },
    POST: {
      id: 'prepareBulk',
      tag: 'Jobs',
      summary: 'Begin to count the jobs that a command over many is for',
      description:
        'Nothing moves before its count is confirmed; it is given up after 15 minutes. It lives in memory: after a crash what was moved has moved, and nothing else of it is left.',
      body: bulkRequest,
      answers: { 202: { description: 'It is being counted.', body: bulk, headers: ['Location'] } },
      examples: [{ summary: 'every dead job of a type', status: 202, body: deadOnes }],
    },
  },
  '/bulk/:bulk': {
    GET: {
      id: 'showBulk',
      tag: 'Jobs',
      summary: 'Show a command over many jobs: its count, and how far it is',
      answers: { 200: { description: 'As it is now.', body: bulk } },
      refusals: ['backpressure'],
      examples: [{ summary: 'one that a restart forgot', status: 404 }],
    },
  },
  '/bulk/:bulk/run': {
    POST: {
      id: 'runBulk',
      tag: 'Jobs',
      summary: 'Confirm the count of a command over many jobs, and so begin to move them',
      body: bulkConfirmation,
      answers: { 202: { description: 'It moves them.', body: bulk } },
      refusals: ['bulk_state'],
      examples: [{ summary: 'one that a restart forgot', status: 404, body: { matched: 12 } }],
    },
  },
  '/bulk/:bulk/stop': {
    POST: {
      id: 'stopBulk',
      tag: 'Jobs',
      summary: 'Stop a command over many jobs',
      description: 'What was moved has moved. It takes no body.',
      answers: { 200: { description: 'Nothing of it is under way.', body: bulk } },
      examples: [{ summary: 'one that a restart forgot', status: 404 }],
    },
  },
  '/events': {
    GET: {
      id: 'streamEvents',
      tag: 'Jobs',
      summary: 'Tell every transition as it happens, as server-sent events',
      description:
        'Each has its `id`, `event: transition` and, as `data`, JSON with `job_id`, `seq`, `event`, `from`, `to`, `attempt`, `at`, `type`, `queue` and, where an attempt failed, `error`. It begins now, or after the `Last-Event-ID` that is sent, which browsers do by themselves. A comment comes every 15 s. Under a load it falls behind, loses nothing and catches up. A stream ends after some ten minutes, and at once when it is the oldest of more than 100: its client comes back by `Last-Event-ID` and misses nothing.',
      query: eventsQuery,
      answers: { 200: { description: 'A stream of some minutes.', texts: ['text/event-stream'] } },
      examples: [{ summary: 'of dead letters', status: 200, query: 'state=dead', isEndless: true }],
    },
  },
  '/machine': {
    GET: {
      id: 'showMachine',
      tag: 'Machines',
      summary: 'Show a machine as it is defined, and what is in it now',
      query: machineQuery,
      answers: { 200: { description: 'The machine.', body: machine } },
      refusals: ['backpressure'],
      examples: [{ summary: 'the machine of a job', status: 200, query: 'of=job' }],
    },
  },
  '/machine.svg': {
    GET: {
      id: 'drawMachine',
      tag: 'Machines',
      summary: 'Draw a machine, with what is in it now',
      query: machineQuery,
      answers: { 200: { description: 'A picture.', texts: svg } },
      refusals: ['backpressure'],
      examples: [{ summary: 'the dispatcher', status: 200, query: 'of=dispatcher' }],
    },
  },
  '/metrics': {
    GET: {
      id: 'showMetrics',
      tag: 'Server',
      summary: 'Show counts and averages',
      description:
        'The same as `/metrics/prometheus` where `Accept` names `text/plain` or `application/openmetrics-text` and ranks it above JSON.',
      answers: { 200: { description: 'The metrics.', body: metrics, headers: ['Vary'] } },
      examples: [{ summary: 'now', status: 200 }],
    },
  },
  '/metrics/prometheus': {
    GET: {
      id: 'showPrometheus',
      tag: 'Server',
      summary: 'Show everything measured, for Prometheus',
      description: 'OpenMetrics where `Accept` ranks `application/openmetrics-text` above plain text by name.',
      answers: { 200: { description: 'The metrics.', texts: ['text/plain'], headers: ['Vary'] } },
      refusals: ['backpressure'],
      examples: [{ summary: 'now', status: 200 }],
    },
  },
  '/livez': {
    GET: {
      id: 'showLive',
      tag: 'Server',
      summary: 'Whether the process lives',
      answers: { 200: { description: 'It does.', body: live } },
      examples: [{ summary: 'now', status: 200 }],
      isOpen: true,
    },
  },
  '/readyz': {
    GET: {
      id: 'showReady',
      tag: 'Server',
      summary: 'Whether a job handed in now would be stored',
      answers: {
        200: { description: 'It would.', body: ready },
        503: { description: 'It would not.', body: notReady, headers: ['Retry-After'] },
      },
      refusals: ['too_many_guesses'],
      examples: [{ summary: 'now', status: 200 }],
      isOpen: true,
    },
  },
  '/openapi.json': {
    GET: {
      id: 'describeApi',
      tag: 'Description',
      summary: 'Describe this API as OpenAPI 3.1',
      answers: { 200: { description: 'This document.', body: openApi } },
      refusals: ['backpressure'],
      examples: [{ summary: 'all of it', status: 200 }],
    },
  },
}
