import { z } from 'zod'
import { bulkPhases, eventTypes } from '../../engine/front-door.ts'
import { refusalCodes } from '../refusals.ts'
import { count, jobId, named, state } from './wire.ts'

const fault = named(
  'Fault',
  z.strictObject({
    path: z.string().describe('The field or parameter; for an item of an array it begins with its index.'),
    message: z.string().describe('What it must be.'),
  }),
)

export const problem = named(
  'Problem',
  z
    .strictObject({
      type: z.string(),
      title: z.string(),
      status: z.int(),
      detail: z.string().describe('The same as `message`.'),
      code: z.enum(refusalCodes).describe('For programs: it is stable.'),
      message: z.string().describe('For people: it may change.'),
      errors: z.array(fault).optional().describe('Of wrong input: one for each fault, to 1,000.'),
      id: jobId.nullable().optional().describe('Of a conflict: the job.'),
      phase: z.enum(bulkPhases).optional().describe('The phase of the bulk action.'),
      matched: count.optional().describe('The count of the bulk action.'),
      state: state.optional().describe('Of an illegal transition: the state that the job is in.'),
      events: z
        .array(z.enum(eventTypes))
        .optional()
        .describe('Of an illegal transition: what the machine allows in that state.'),
    })
    .describe('A refusal, by RFC 9457.'),
)
