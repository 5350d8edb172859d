import type { Question } from './question.ts'
import { backlog } from './questions/backlog.ts'
import { backlogScheduled } from './questions/backlog-scheduled.ts'
import { brief } from './questions/brief.ts'
import { bytes } from './questions/bytes.ts'
import { drain } from './questions/drain.ts'
import { drainResults } from './questions/drain-results.ts'
import { endToEnd } from './questions/end-to-end.ts'
import { enqueueBulk } from './questions/enqueue-bulk.ts'
import { enqueueLanes } from './questions/enqueue-lanes.ts'
import { enqueueSingle } from './questions/enqueue-single.ts'
import { growth } from './questions/growth.ts'
import { httpBulk } from './questions/http-bulk.ts'
import { httpCreate } from './questions/http-create.ts'
import { idle } from './questions/idle.ts'
import { largePayloads } from './questions/large-payloads.ts'
import { latency } from './questions/latency.ts'
import { latencyHalf } from './questions/latency-half.ts'
import { memory } from './questions/memory.ts'
import { memoryGrowth } from './questions/memory-growth.ts'
import { mixedJobs } from './questions/mixed.ts'
import { queues } from './questions/queues.ts'
import { restart } from './questions/restart.ts'
import { retention } from './questions/retention.ts'
import { steady } from './questions/steady.ts'
import { watched } from './questions/watched.ts'

/** All of them, in the order of the report. */
export const questions: readonly Question[] = [
  enqueueSingle,
  enqueueLanes,
  enqueueBulk,
  drain,
  drainResults,
  endToEnd,
  steady,
  latency,
  latencyHalf,
  backlog,
  backlogScheduled,
  watched,
  mixedJobs,
  queues,
  memory,
  memoryGrowth,
  largePayloads,
  idle,
  restart,
  retention,
  growth,
  bytes,
  httpCreate,
  httpBulk,
  ...brief,
]
