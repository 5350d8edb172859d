import { z } from 'zod'
import { type Bulk, bulkPhases, commands, filterFields } from '../../engine/front-door.ts'
import { count, instant, instantOf, named, state, type Wire } from './wire.ts'

const commandTakes = `must be one of: ${commands.join(', ')}`
const command = z.enum(commands, commandTakes)

export const bulkRequest = named(
  'BulkRequest',
  z
    .strictObject({ command, ...filterFields }, 'must be an object with a command and a filter')
    .describe('The command and which jobs it is for; without a `state`: those in any state that allows it.'),
)

const matchedTakes = 'must be the count that was shown'

export const bulkRunRequest = named(
  'BulkConfirmation',
  z.strictObject(
    { matched: z.int(matchedTakes).min(0, matchedTakes).describe('The count that was shown.') },
    'must be an object with the count that was shown',
  ),
)

export const bulk = named(
  'Bulk',
  z.strictObject({
    id: z.string(),
    command,
    filter: z.strictObject({
      state: state.optional(),
      type: z.string().optional(),
      queue: z.string().optional(),
      text: z.string().optional(),
      created_from: instant.optional(),
      created_to: instant.optional(),
    }),
    phase: z.enum(bulkPhases).describe('`ready`: it waits for the confirmation of its count.'),
    created_at: instant,
    expires_at: instant.nullable().describe('When it expires unless it is confirmed.'),
    matched: count.describe('Jobs that match, so far while it counts.'),
    more: z.boolean().describe('More jobs match than one action may move; it has the newest.'),
    up_to: count.nullable().describe('The highest id that it searched; later jobs are not touched.'),
    looked_to: count.nullable().describe('The lowest id that it has searched so far.'),
    moved: count,
    refused: count.describe('Jobs that had left the state by then.'),
    error: z.string().nullable().describe('Why it failed.'),
  }),
)

export function bulkView(given: Bulk): Wire<typeof bulk> {
  const { createdFrom, createdTo, ...filter } = given.filter
  return {
    id: given.id,
    command: given.command,
    filter: {
      ...filter,
      ...(createdFrom === undefined ? {} : { created_from: instantOf(createdFrom) }),
      ...(createdTo === undefined ? {} : { created_to: instantOf(createdTo) }),
    },
    phase: given.phase,
    created_at: instantOf(given.createdAt),
    expires_at: instantOf(given.expiresAt),
    matched: given.matched,
    more: given.more,
    up_to: given.upTo,
    looked_to: given.lookedTo,
    moved: given.moved,
    refused: given.refused,
    error: given.error,
  }
}

export const bulkList = named('BulkList', z.strictObject({ bulk: z.array(bulk).describe('Newest first.') }))

export function bulkListView(given: readonly Bulk[]): Wire<typeof bulkList> {
  return { bulk: given.map(bulkView) }
}
