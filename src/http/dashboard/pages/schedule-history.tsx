import {
  duration,
  type JobState,
  type ScheduleHistoryEvent,
  type ScheduleInfo,
  whoOf,
} from '../../../engine/front-door.ts'
import { number, StateLabel, Time } from './parts.tsx'
import { tickText } from './schedule-words.ts'
import { Text } from './text.tsx'

/** A tick whose job was stored later than this was late, in ms. */
const lateMs = 1_000

interface HistoryProps {
  readonly name: string
  readonly zone: string
  /** Newest first. */
  readonly events: readonly ScheduleHistoryEvent[]
  readonly now: number
}

/** What became of each tick, and who changed the schedule. */
export function ScheduleHistory({ name, zone, events, now }: HistoryProps) {
  const oldest = events.at(-1)?.seq ?? 1
  return (
    <section class="card" aria-labelledby="history">
      <h2 id="history">What happened</h2>
      <section class="scroll" tabindex={0} aria-label="Events">
        <table>
          <thead>
            <tr>
              <th scope="col" class="number">
                #
              </th>
              <th scope="col">When</th>
              <th scope="col">Event</th>
              <th scope="col">In words</th>
              <th scope="col">Job</th>
            </tr>
          </thead>
          <tbody>
            {events.map((event) => (
              <tr id={`event-${event.seq}`}>
                <td class="number">{event.seq}</td>
                <td>
                  <Time at={event.at} now={now} />
                </td>
                <td>{event.event}</td>
                <td class="words">
                  <Text of={sentenceOf(event, zone)} />
                </td>
                <td class="nowrap">{event.jobId !== null && <JobLink id={event.jobId} state={event.jobState} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <p>{oldest > 1 ? <a href={`/dashboard/schedules/${name}?before=${oldest}`}>Older events</a> : 'End of list.'}</p>
    </section>
  )
}

export function JobLink({ id, state }: { readonly id: number; readonly state: JobState | null }) {
  if (state === null) return <>{id} (removed)</>
  return (
    <>
      <a href={`/dashboard/jobs/${id}`}>{id}</a> <StateLabel state={state} />
    </>
  )
}

/** When and why a schedule came to its state; undefined if the events do not go back so far. */
export function changeOfState(
  { state }: ScheduleInfo,
  events: readonly ScheduleHistoryEvent[],
): ScheduleHistoryEvent | undefined {
  return events.find(({ from, to }) => to === state && from !== to)
}

/** Who changed a schedule, and why: `by a user of the dashboard (ada): a holiday`. */
export function causeOfChange({ by, reason }: Pick<ScheduleHistoryEvent, 'by' | 'reason'>): string {
  const said = by?.reason ?? reason
  return `${by ? `by ${whoOf(by)}` : ''}${said === undefined ? '' : `${by ? ': ' : ''}${said}`}`
}

/** How late a tick's job was made; empty if it was not. */
export function delayOf({ at, tick }: Pick<ScheduleHistoryEvent, 'at' | 'tick'>): string {
  return tick === null || at - tick < lateMs ? '' : `${duration(at - tick)} late`
}

function sentenceOf(event: ScheduleHistoryEvent, zone: string): string {
  const { tick, jobId, changed, by } = event
  const cause = causeOfChange(event)
  if (tick === null) {
    const fields = changed?.length ? `${changed.join(', ')} changed${by ? ', ' : ''}` : ''
    return `${fields}${cause}`
  }
  const subject = `the tick at ${tickText(tick, zone)}`
  const missed = missedText(event, zone)
  if (jobId === null) return `${missed || subject} made no job${whyText(event)}`
  const late = delayOf(event)
  return `for ${subject}${late && `, ${late}`}${missed && `; it stands for ${missed}`}`
}

function missedText({ missed, skipped = 0, jobId }: ScheduleHistoryEvent, zone: string): string {
  if (!missed) return ''
  const { count, isMore, first, last } = missed
  const many = `${isMore ? 'more than ' : ''}${number(count)} missed tick${count === 1 ? '' : 's'}`
  const span = count === 1 ? `at ${tickText(first, zone)}` : `from ${tickText(first, zone)} to ${tickText(last, zone)}`
  const without = jobId !== null && skipped > 0 ? `, of which ${number(skipped)} got no job` : ''
  return `${many} ${span}${without}`
}

/** Why ticks made no job. */
function whyText({ reason, unended }: ScheduleHistoryEvent): string {
  const job = unended === undefined ? 'a job' : `job ${unended}`
  const texts: Readonly<Record<string, string>> = {
    missed: ', as its policy says',
    overlap: `, because ${job} had not ended`,
    unique: `, because ${job} held its unique key`,
    full: ', because too many jobs were waiting',
  }
  return reason === undefined ? '' : (texts[reason] ?? `: ${reason}`)
}
