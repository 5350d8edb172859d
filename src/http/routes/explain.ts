import type { Explanation, JobSystem } from '../../engine/front-door.ts'
import { noQuery, parseQuery } from '../query.ts'
import { instant, reply } from '../reply.ts'

/** `GET /jobs/:id/explain` */
export async function showExplanation(system: JobSystem, id: number, query: URLSearchParams): Promise<Response> {
  parseQuery(noQuery, query)
  return reply(explanationView(await system.explain(id)))
}

function explanationView(explanation: Explanation) {
  return {
    job_id: explanation.jobId,
    state: explanation.state,
    meaning: explanation.meaning,
    summary: explanation.summary,
    because: happenedView(explanation.because),
    last_failure: explanation.lastFailure && happenedView(explanation.lastFailure),
    next: explanation.next.map(({ event, to, cause, possible, obstacles, sentence }) => {
      return { event, to, cause, possible, obstacles: obstacles.map(obstacleView), sentence }
    }),
    obstacles: explanation.obstacles.map(obstacleView),
    line: explanation.line,
    earliest_run_at: instant(explanation.earliestRunAt),
    earliest: explanation.earliest,
    removed_at: instant(explanation.removedAt),
  }
}

function happenedView({ maxAttempts, at, sentence, ...happened }: Explanation['because']) {
  return { ...happened, max_attempts: maxAttempts, at: instant(at), sentence }
}

function obstacleView({ code, message, until }: Explanation['obstacles'][number]) {
  return { code, message, until: instant(until) }
}
