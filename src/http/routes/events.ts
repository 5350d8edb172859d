import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { InvalidInputError } from '../../errors.ts'
import type { EventFeed } from '../events/event-feed.ts'
import { streamHeaders } from '../events/event-reader.ts'
import { eventsQuery, parseQuery } from '../query.ts'
import type { Session } from '../session.ts'

/** `GET /events`: every transition as a server-sent event. A HEAD request takes no place among the readers. */
export async function streamEvents(
  feed: EventFeed,
  { incoming, outgoing }: HttpBindings,
  query: URLSearchParams,
  session: Session | null,
): Promise<Response> {
  const { job_id: jobId, ...rest } = parseQuery(eventsQuery, query)
  const filter = { ...rest, ...(jobId === undefined ? {} : { jobId }) }
  const after = lastEventIdOf(incoming.headers['last-event-id'])
  if (incoming.method === 'HEAD') return new Response(null, { headers: streamHeaders })
  await feed.open(outgoing, filter, session, after)
  return RESPONSE_ALREADY_SENT
}

/** Given twice it comes as a list, which is no number. */
function lastEventIdOf(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return
  if (/^[0-9]{1,15}$/.test(`${header}`)) return Number(header)
  throw new InvalidInputError([{ path: 'Last-Event-ID', message: 'takes the id of an event, a whole number' }])
}
