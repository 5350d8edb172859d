import type { Context } from 'hono'
import { contentTypeFor } from '../accept.ts'
import { openMetrics, plainText, showPrometheus } from '../metrics/prometheus.ts'
import { reply } from '../reply.ts'
import type { Env } from '../request.ts'
import { metrics, metricsView } from '../wire/metrics.ts'
import { type ApiRoute, get } from './route.ts'

const json = 'application/json'
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
    pace: (c) => (formatOf(c) === json ? 'free' : 'scrape'),
    async handle({ system, ownFamilies }, c) {
      const format = formatOf(c)
      if (format !== json) return showPrometheus(system, format, ownFamilies)
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
    pace: 'scrape',
    handle({ system, ownFamilies }, c) {
      return showPrometheus(system, contentTypeFor(c, plainText, [openMetrics]), ownFamilies)
    },
  }),
]
