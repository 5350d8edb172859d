/** Everything that front doors, HTTP above all, may import from the engine: the system's interface, and its words and limits. */
export {
  basePathPattern,
  defaults,
  enqueueBatchMax,
  pageSizes,
  requestDefaults,
  requestPayloadsMax,
  resultWaitMaxMs,
  shown,
} from '../config.ts'
export { actorPattern, callerFields, reasonMax } from '../job/cause.ts'
export { mutableFields, newJobSchema, snakeCase, storedFields } from '../job/fields.ts'
export { filterFields, fromWire } from '../job/filter.ts'
export { issuesOf } from '../job/input-issues.ts'
export { uniqueOutcomes } from '../job/unique.ts'
export { bulkPhases } from '../machines/bulk.ts'
export { causes, whoOf } from '../machines/cause.ts'
export {
  type Chart,
  type ChartEdge,
  type ChartName,
  type ChartNode,
  charts,
  edgeId,
  edgeLines,
  scheduleChart,
  toMermaid,
} from '../machines/chart.ts'
export { toDot } from '../machines/dot.ts'
export { countStates, describeState, eventsFrom, eventTypes, isAfter, isDead, jobStates } from '../machines/edges.ts'
export { type Command, causeOf, commandFacts, commands } from '../machines/events.ts'
export { scheduleEvents, scheduleEventsFrom, scheduleStates } from '../machines/schedule-edges.ts'
export { duration } from '../observe/explain/text.ts'
export { systemClock } from '../runtime/clock.ts'
export { ownThread } from '../runtime/own-thread.ts'
export { version } from '../runtime/version.ts'
export { newScheduleSchema } from '../schedule/fields.ts'
export { formatTick } from '../schedule/preview.ts'
export { noopLog } from './harmless-log.ts'
export type * from './job-system.ts'
