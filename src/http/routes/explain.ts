import type { JobSystem } from '../../engine/front-door.ts'
import { noQuery, parseQuery } from '../query.ts'
import { reply } from '../reply.ts'
import { explanationView } from '../wire/explanation.ts'

/** `GET /jobs/:id/explain` */
export async function showExplanation(system: JobSystem, id: number, query: URLSearchParams): Promise<Response> {
  parseQuery(noQuery, query)
  return reply(explanationView(await system.explain(id)))
}
