import { z } from 'zod'
import {
  type JobSystem,
  type ScheduleHistoryEvent,
  type ScheduleInfo,
  type SchedulePreview,
  scheduleEventsFrom,
} from '../../../engine/front-door.ts'
import { ScheduleNotFoundError } from '../../../errors.ts'
import { parseQuery, whole } from '../../query.ts'
import { scheduledJobView } from '../../routes/schedules.ts'
import { renderSchedule } from '../charts/render.ts'
import type { Allowed } from './allowed.ts'
import { ChartFrame } from './chart.tsx'
import { Json } from './json.tsx'
import { page } from './page.tsx'
import { Facts, StateLabel, Time } from './parts.tsx'
import { ScheduleActions } from './schedule-actions.tsx'
import { changeOfState, delayOf, JobLink, ScheduleHistory } from './schedule-history.tsx'
import { Ticks } from './schedule-ticks.tsx'
import { policyTexts, tickText, timingText } from './schedule-words.ts'
import { Reason } from './schedules.tsx'
import { Text } from './text.tsx'

const refreshMs = 2_000
const eventsMax = 50
/** Newest events in which the newest jobs and the reason for the state are looked for. */
const newestMax = 200
const jobsMax = 10

const scheduleQuery = z.strictObject({ before: whole(1, Number.MAX_SAFE_INTEGER) })

/** `GET /dashboard/schedules/:name?before=SEQ`: one schedule, and its events before that one. */
export async function schedulePage(
  system: JobSystem,
  name: string,
  query: URLSearchParams,
  allowed: Allowed,
  clock: () => number,
): Promise<Response> {
  const { before } = parseQuery(scheduleQuery, query)
  const schedule = await system.schedules.find(name)
  if (!schedule) throw new ScheduleNotFoundError(name)
  const [newest, preview, chart] = await Promise.all([
    system.schedules.history(name, { limit: newestMax }),
    previewOf(system, schedule),
    renderSchedule(schedule.state),
  ])
  const events =
    before === undefined
      ? newest.slice(0, eventsMax)
      : await system.schedules.history(name, { before, limit: eventsMax })
  const made = newest.filter(({ jobId }) => jobId !== null).slice(0, jobsMax)
  const now = clock()
  return page({
    title: `Schedule ${name}`,
    section: '/dashboard/schedules',
    refreshMs,
    styles: ['chart.css'],
    children: (
      <>
        <Head schedule={schedule} change={changeOfState(schedule, newest)} allowed={allowed} now={now} />
        <div class="columns">
          <NextTicks schedule={schedule} preview={preview} now={now} />
          <Rules schedule={schedule} now={now} />
        </div>
        <div class="columns">
          <NewestJobs made={made} zone={schedule.zone} now={now} />
          <JobOfTick schedule={schedule} />
        </div>
        <Json title="Payload of each job" value={schedule.job.payload} link={`/schedules/${name}`} />
        <ScheduleHistory name={name} zone={schedule.zone} events={events} now={now} />
        <section class="card" aria-labelledby="lifecycle">
          <h2 id="lifecycle">Its lifecycle</h2>
          <ChartFrame svg={chart} isWide />
        </section>
      </>
    ),
  })
}

/** Null if it has no ticks to come: it has ended, or its rule cannot be read. */
async function previewOf(system: JobSystem, { name, state, problem }: ScheduleInfo): Promise<SchedulePreview | null> {
  if (scheduleEventsFrom(state).length === 0) return null
  try {
    return await system.schedules.preview(name)
  } catch (error) {
    if (problem === null) throw error
    return null
  }
}

interface HeadProps {
  readonly schedule: ScheduleInfo
  readonly change: ScheduleHistoryEvent | undefined
  readonly allowed: Allowed
  readonly now: number
}

function Head({ schedule, change, allowed, now }: HeadProps) {
  const { name, state, nextTick, job } = schedule
  return (
    <section class="card head">
      <h1>{name}</h1>
      <StateLabel state={state} />
      <span>
        makes <Text of={job.type} /> <span class="muted">in queue</span> <Text of={job.queue ?? 'default'} />
      </span>
      {nextTick === null && <Reason schedule={schedule} change={change} now={now} />}
      <ScheduleActions schedule={schedule} allowed={allowed} />
    </section>
  )
}

interface PartProps {
  readonly schedule: ScheduleInfo
  readonly now: number
}

function NextTicks({ schedule, preview, now }: PartProps & { readonly preview: SchedulePreview | null }) {
  const isTicking = schedule.nextTick !== null
  return (
    <section class="card" aria-labelledby="next">
      <h2 id="next">Next ticks {!isTicking && preview && <span class="muted">if it were resumed now</span>}</h2>
      {preview ? <Ticks preview={preview} zone={schedule.zone} now={now} /> : <p class="muted">It has no ticks.</p>}
    </section>
  )
}

function Rules({ schedule, now }: PartProps) {
  const { zone, startsAt, endsAt, createdAt, updatedAt } = schedule
  const rows: [string, unknown][] = [
    ['Ticks', <Text of={timingText(schedule)} />],
    ['Zone', <Text of={zone} />],
    ...(startsAt === null ? [] : [['Starts', tickText(startsAt, zone)] satisfies [string, unknown]]),
    ...(endsAt === null ? [] : [['Ends', `before ${tickText(endsAt, zone)}`] satisfies [string, unknown]]),
    ...Object.entries(policyTexts(schedule)),
    ['Created', <Time at={createdAt} now={now} />],
    ['Last event', <Time at={updatedAt} now={now} />],
  ]
  return (
    <section class="card">
      <h2>Rules</h2>
      <Facts rows={rows} />
    </section>
  )
}

interface NewestJobsProps {
  readonly made: readonly ScheduleHistoryEvent[]
  readonly zone: string
  readonly now: number
}

function NewestJobs({ made, zone, now }: NewestJobsProps) {
  return (
    <section class="card" aria-labelledby="newest">
      <h2 id="newest">Newest jobs</h2>
      {made.length === 0 ? (
        <p class="muted">It has made none.</p>
      ) : (
        <section class="scroll" tabindex={0} aria-label="Jobs">
          <table id="newest-jobs">
            <thead>
              <tr>
                <th scope="col">Job</th>
                <th scope="col">Made</th>
                <th scope="col">For the tick</th>
              </tr>
            </thead>
            <tbody>
              {made.map((event) => (
                <tr>
                  <td class="nowrap">
                    <JobLink id={event.jobId!} state={event.jobState} />
                  </td>
                  <td>
                    <Time at={event.at} now={now} />
                  </td>
                  <td>
                    {event.tick === null ? 'none: it was triggered' : tickText(event.tick, zone)}{' '}
                    <span class="muted">{delayOf(event)}</span>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  )
}

/** The job of each tick, as it was given. */
function JobOfTick({ schedule: { job } }: { readonly schedule: ScheduleInfo }) {
  const { payload: _, ...fields } = scheduledJobView(job)
  const rows = Object.entries(fields).map(
    ([field, value]) => [field, <Text of={typeof value === 'string' ? value : JSON.stringify(value)} />] as const,
  )
  return (
    <section class="card" aria-labelledby="job-of-tick">
      <h2 id="job-of-tick">The job of each tick</h2>
      <Facts rows={rows} />
    </section>
  )
}
