import type { Context } from 'hono'
import { accepts } from 'hono/accepts'
import { z } from 'zod'
import type { Metrics } from '../../engine/front-door.ts'
import { showPrometheus } from '../metrics/prometheus.ts'
import { reply } from '../reply.ts'
import type { Env } from '../request.ts'
import { count, named, type Wire } from '../wire.ts'
import { type ApiRoute, get } from './route.ts'

const sinceStart = 'Since the process started'
const metrics = named(
  'Metrics',
  z.strictObject({
    active_workers: count.describe('Now.'),
    queue_depth: count.describe('Jobs that could run now and wait for a worker.'),
    dead_letter_count: count.describe('Now.'),
    retry_count: count.describe(`${sinceStart}: failed attempts of jobs that run again.`),
    success_count: count.describe(`${sinceStart}.`),
    failure_count: count.describe(`${sinceStart}: attempts that ended in fail, reject or expire.`),
    avg_execution_ms: z.number().min(0).describe(`${sinceStart}; 0 if no attempt has ended.`),
    avg_time_in_queue_ms: z
      .number()
      .min(0)
      .describe(`${sinceStart}: from when a job could run to its handler's call; 0 if none has started.`),
  }),
)

const json = 'application/json'
const plainText = 'text/plain'
const openMetrics = 'application/openmetrics-text'
const formatOf = (c: Context<Env>) => contentTypeFor(c, json, [plainText, openMetrics])

export const metricsRoutes: readonly ApiRoute[] = [
  get({
    path: '/metrics',
    id: 'showMetrics',
    tag: 'Server',
    summary: 'Show counts and averages',
    description:
      'The same as `/metrics/prometheus` if `Accept` names `text/plain` or `application/openmetrics-text` and ranks it above JSON.',
    answers: { 200: { description: 'The metrics.', body: metrics, headers: ['Vary'] } },
    examples: [{ summary: 'now', status: 200 }],
    limit: (c) => (formatOf(c) === json ? 'none' : 'scrape'),
    async handle({ system, ownFamilies }, c) {
      const format = formatOf(c)
      if (format !== json) return showPrometheus(system, { isOpen: format === openMetrics }, ownFamilies)
      return reply(metricsView(await system.metrics()), 200, { vary: 'Accept' })
    },
  }),
  get({
    path: '/metrics/prometheus',
    id: 'showPrometheus',
    tag: 'Server',
    summary: 'Show everything measured, for Prometheus',
    description: 'OpenMetrics if `Accept` ranks `application/openmetrics-text` above plain text by name.',
    answers: { 200: { description: 'The metrics.', texts: ['text/plain'], headers: ['Vary'] } },
    examples: [{ summary: 'now', status: 200 }],
    limit: 'scrape',
    handle({ system, ownFamilies }, c) {
      const isOpen = contentTypeFor(c, plainText, [openMetrics]) === openMetrics
      return showPrometheus(system, { isOpen }, ownFamilies)
    },
  }),
]

function metricsView(given: Metrics): Wire<typeof metrics> {
  return {
    active_workers: given.activeWorkers,
    queue_depth: given.queueDepth,
    dead_letter_count: given.deadLetterCount,
    retry_count: given.retryCount,
    success_count: given.successCount,
    failure_count: given.failureCount,
    avg_execution_ms: given.avgExecutionMs,
    avg_time_in_queue_ms: given.avgTimeInQueueMs,
  }
}

/**
 * The content type of the answer: the first of those `named` that `Accept` ranks highest, by q, if it names it and ranks it above `usual`,
 * for which a range counts too; otherwise `usual`. So a browser, curl and clients that accept anything get the usual one.
 */
function contentTypeFor(c: Context, usual: string, named: readonly string[]): string {
  return accepts(c, {
    header: 'Accept',
    supports: [usual, ...named],
    default: usual,
    match(ranked) {
      const rank = (range: string) => rankOf(ranked, range) ?? 0
      const best = named.reduce((a, b) => (rank(b) > rank(a) ? b : a))
      const ranges = [usual, usual.replace(/\/.*/, '/*'), '*/*']
      const usualRank = ranges.map((range) => rankOf(ranked, range)).find((q) => q !== undefined) ?? 0
      return rank(best) > usualRank ? best : usual
    },
  })
}

/** The highest rank of a range that is listed several times, with different parameters. */
function rankOf(ranked: readonly { readonly type: string; readonly q: number }[], range: string): number | undefined {
  const found = ranked.filter(({ type }) => type.toLowerCase() === range)
  return found.length === 0 ? undefined : Math.max(...found.map(({ q }) => q))
}
