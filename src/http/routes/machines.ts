import { z } from 'zod'
import { type Chart, type ChartName, charts, toMermaid } from '../../engine/front-door.ts'
import { renderJob, renderMachine, type Tally, tallyOf } from '../dashboard/charts/render.ts'
import { chartStyleSource } from '../dashboard/charts/style.ts'
import { pathQuery } from '../query.ts'
import { reply, replyText } from '../reply.ts'
import { idOf } from '../request.ts'
import { count, named, type Wire } from '../wire.ts'
import { type ApiRoute, get } from './route.ts'

const machine = named(
  'Machine',
  z.strictObject({
    id: z.string(),
    states: z.array(
      z.strictObject({
        name: z.string(),
        description: z.string(),
        tags: z.array(z.string()),
        initial: z.boolean(),
        final: z.boolean(),
        count: count.describe('How many are in it now.'),
      }),
    ),
    edges: z.array(
      z.strictObject({
        id: z.string(),
        from: z.string().nullable().describe('`null`: the edge creates the job.'),
        event: z.string().nullable().describe('`null` if it is taken by itself, as soon as the guard holds.'),
        to: z.string(),
        guard: z.string().nullable().describe('In words; `null` if it is always taken.'),
        taken: count
          .nullable()
          .describe('How often it was taken since the file was made; `null` if that is not counted.'),
      }),
    ),
    mermaid: z.string().describe('The same as a Mermaid state diagram.'),
  }),
)

const svg = ['image/svg+xml']
const chartNames = Object.keys(charts) as ChartName[]
const machineQuery = z.strictObject({
  of: z
    .enum(chartNames, `must be one of: ${chartNames.join(', ')}`)
    .default('job')
    .describe('Which machine.'),
})

export const machineRoutes: readonly ApiRoute[] = [
  get({
    path: '/machine',
    id: 'showMachine',
    tag: 'Machines',
    summary: 'Show a machine with the number of jobs or slots in each state',
    answers: { 200: { description: 'The machine.', body: machine } },
    examples: [{ summary: 'the machine of a job', status: 200, query: 'of=job' }],
    limit: 'read',
    query: machineQuery,
    handle: async ({ system }, _, { of }) => reply(machineView(charts[of], await tallyOf(system, of))),
  }),
  get({
    path: '/machine.svg',
    id: 'drawMachine',
    tag: 'Machines',
    summary: 'Draw a machine with the number of jobs or slots in each state',
    answers: { 200: { description: 'A picture.', texts: svg } },
    examples: [{ summary: 'the dispatcher', status: 200, query: 'of=dispatcher' }],
    limit: 'read',
    query: machineQuery,
    handle: async ({ system }, _, { of }) => replySvg(await renderMachine(system, of)),
  }),
]

/** One of the routes of a job. */
export const renderJobRoute: ApiRoute = get({
  path: '/jobs/:id/machine.svg',
  id: 'drawJob',
  tag: 'Jobs',
  summary: 'Draw the path that a job took through its machine',
  answers: { 200: { description: 'A picture.', texts: svg } },
  examples: [{ summary: 'of the first job, when it was new', status: 200, query: 'at=1' }],
  limit: 'chart',
  query: pathQuery,
  handle: async ({ system }, c, query) => replySvg(await renderJob(system, idOf(c), query)),
})

function machineView(chart: Chart, { states, taken }: Tally): Wire<typeof machine> {
  const origins = new Set(chart.nodes.filter(({ isOrigin }) => isOrigin).map(({ id }) => id))
  return {
    id: chart.id,
    states: chart.nodes
      .filter(({ isOrigin }) => !isOrigin)
      .map(({ id, description, tags, initial, final }) => {
        return { name: id, description, tags, initial, final, count: states.get(id) ?? 0 }
      }),
    edges: chart.edges.map(({ id, from, event, to, guard }) => {
      return { id, from: origins.has(from) ? null : from, event, to, guard, taken: taken && (taken.get(id) ?? 0) }
    }),
    mermaid: toMermaid(chart),
  }
}

function replySvg(svg: string): Response {
  return replyText(svg, 'image/svg+xml; charset=utf-8', { allowed: [`style-src ${chartStyleSource}`] })
}
