import { z } from 'zod'
import { type ChartName, charts } from '../../engine/front-door.ts'
import { renderMachine, tallyOf } from '../dashboard/charts/render.ts'
import { chartStyleSource } from '../dashboard/charts/style.ts'
import { reply, replyText } from '../reply.ts'
import { machine, machineView } from '../wire/machine.ts'
import { type ApiRoute, get } from './route.ts'

export const svg = ['image/svg+xml']
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
    pace: 'read',
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
    pace: 'read',
    query: machineQuery,
    handle: async ({ system }, _, { of }) => replySvg(await renderMachine(system, of)),
  }),
]

export function replySvg(svg: string): Response {
  return replyText(svg, 'image/svg+xml; charset=utf-8', { allowed: [`style-src ${chartStyleSource}`] })
}
