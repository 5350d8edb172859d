import { z } from 'zod'
import type { JobSystem, ScheduleHistoryEvent, ScheduleInfo } from '../../../engine/front-door.ts'
import { parseQuery } from '../../query.ts'
import type { Allowed } from './allowed.ts'
import { page } from './page.tsx'
import { Pre, StateLabel, Time } from './parts.tsx'
import { causeOfChange, changeOfState, JobLink } from './schedule-history.tsx'
import { tickText, timingText } from './schedule-words.ts'
import { Text } from './text.tsx'

const rowsMax = 50
const refreshMs = 2_000
/** Events in which the reason for a pause is looked for. */
const eventsMax = 20

const listQuery = z.strictObject({ cursor: z.string().exactOptional(), ended: z.literal('true').exactOptional() })

const example = `createJobSystem({
  handlers: [report],
  schedules: [
    { name: 'nightly', cron: '30 2 * * *', zone: 'Europe/Berlin', job: { type: 'report', payload: {} } },
  ],
})`

interface Listed {
  readonly schedule: ScheduleInfo
  /** When and why it came to a state in which it has no ticks. */
  readonly change: ScheduleHistoryEvent | undefined
}

/** `GET /dashboard/schedules?cursor=NAME&ended=true`: the schedules, by name. */
export async function schedulesPage(
  system: JobSystem,
  query: URLSearchParams,
  allowed: Allowed,
  clock: () => number,
): Promise<Response> {
  const { ended, ...rest } = parseQuery(listQuery, query)
  const { schedules, nextCursor } = await system.schedules.list({ ...rest, limit: rowsMax, ended: ended === 'true' })
  const rows = await Promise.all(schedules.map((schedule) => toListed(system, schedule)))
  const isEmpty = rows.length === 0 && rest.cursor === undefined
  return page({
    title: 'Schedules',
    section: '/dashboard/schedules',
    refreshMs,
    children: (
      <section class="card" aria-labelledby="schedules">
        <div class="head">
          <h1 id="schedules">Schedules</h1>
          <a href={`/dashboard/schedules${ended ? '' : '?ended=true'}`}>
            {ended ? 'Hide' : 'Show'} those that have ended
          </a>
          {allowed.command && (
            <div class="actions">
              <a class="button" href="/dashboard/new-schedule">
                New schedule
              </a>
            </div>
          )}
        </div>
        {isEmpty ? <Empty /> : <Table rows={rows} now={clock()} />}
        {nextCursor !== null && <NextPage cursor={nextCursor} ended={ended} />}
      </section>
    ),
  })
}

async function toListed(system: JobSystem, schedule: ScheduleInfo): Promise<Listed> {
  if (schedule.nextTick !== null) return { schedule, change: undefined }
  const events = await system.schedules.history(schedule.name, { limit: eventsMax })
  return { schedule, change: changeOfState(schedule, events) }
}

function Empty() {
  return (
    <>
      <p>No schedule makes jobs. A program declares its schedules like this:</p>
      <Pre text={example} />
      <p class="muted">
        They can also be made here, or with <code>PUT /schedules/:name</code>.
      </p>
    </>
  )
}

function NextPage({ cursor, ended }: { readonly cursor: string; readonly ended: string | undefined }) {
  return (
    <p>
      <a href={`/dashboard/schedules?${new URLSearchParams({ cursor, ...(ended && { ended }) })}`}>More schedules</a>
    </p>
  )
}

interface TableProps {
  readonly rows: readonly Listed[]
  readonly now: number
}

function Table({ rows, now }: TableProps) {
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Schedule</th>
            <th scope="col">State</th>
            <th scope="col">Ticks</th>
            <th scope="col">Zone</th>
            <th scope="col">Next tick</th>
            <th scope="col">Last tick</th>
            <th scope="col">Its job</th>
            <th scope="col">Makes</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row row={row} now={now} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Row({ row: { schedule, change }, now }: { readonly row: Listed; readonly now: number }) {
  const { name, zone, nextTick, lastJob } = schedule
  return (
    <tr id={`schedule-${name}`}>
      <td>
        <a href={`/dashboard/schedules/${name}`}>{name}</a>
      </td>
      <td>
        <StateLabel state={schedule.state} />
        <Reason schedule={schedule} change={change} now={now} />
      </td>
      <td class="instant">{timingText(schedule)}</td>
      <td class="nowrap">{zone}</td>
      <td class="nowrap">{nextTick !== null && <Tick at={nextTick} zone={zone} now={now} />}</td>
      <td class="nowrap">{lastJob && <Tick at={lastJob.tick} zone={zone} now={now} />}</td>
      <td class="nowrap">{lastJob && <JobLink {...lastJob} />}</td>
      <td>
        <Text of={schedule.job.type} />
      </td>
    </tr>
  )
}

function Tick({ at, zone, now }: { readonly at: number; readonly zone: string; readonly now: number }) {
  return (
    <>
      {tickText(at, zone)}
      <div class="muted">
        <Time at={at} now={now} />
      </div>
    </>
  )
}

interface WhyProps {
  readonly schedule: ScheduleInfo
  readonly change: ScheduleHistoryEvent | undefined
  readonly now: number
}

/** Since when and why a schedule has no ticks. */
export function Reason({ schedule: { problem }, change, now }: WhyProps) {
  if (!change && problem === null) return null
  return (
    <div class={problem === null ? 'words muted' : 'words error'}>
      {change && <Time at={change.at} now={now} />} <Text of={problem ?? (change ? causeOfChange(change) : '')} />
    </div>
  )
}
