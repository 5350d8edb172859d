import { z } from 'zod'
import { type Chart, toMermaid } from '../../engine/front-door.ts'
import type { Tally } from '../dashboard/charts/overlays.ts'
import { count, named, type Wire } from './wire.ts'

export const machine = named(
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
        count: count.describe('What is in it now.'),
      }),
    ),
    edges: z.array(
      z.strictObject({
        id: z.string(),
        from: z.string().nullable().describe('`null`: the edge creates the job.'),
        event: z.string().nullable().describe('`null`: taken by itself, as soon as the guard holds.'),
        to: z.string(),
        guard: z.string().nullable().describe('In words; `null`: it is taken whatever the facts.'),
        taken: count.nullable().describe('How often, since the file was made; `null` if that is not counted.'),
      }),
    ),
    mermaid: z.string().describe('The same as a Mermaid state diagram.'),
  }),
)

export function machineView(chart: Chart, { states, taken }: Tally): Wire<typeof machine> {
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
