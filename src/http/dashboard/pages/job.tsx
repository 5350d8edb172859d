import {
  commandFacts,
  commands,
  duration,
  type Explanation,
  type HistoryEvent,
  isAfter,
  type Job,
  type JobSystem,
  storedFields,
} from '../../../engine/front-door.ts'
import { JobNotFoundError, JobSystemError } from '../../../errors.ts'
import { parseQuery, pathQuery } from '../../query.ts'
import { renderJob } from '../charts/render.ts'
import type { Allowed } from './allowed.ts'
import { changeTitle } from './change.tsx'
import { ExplanationSection } from './explanation.tsx'
import { LogSection, newestLines } from './job-log.tsx'
import { PathSection } from './job-path.tsx'
import { Json } from './json.tsx'
import { page } from './page.tsx'
import { Facts, ProducerNote, ReasonField, StateLabel, Time, upperFirst } from './parts.tsx'
import { ProgressSection } from './progress.tsx'
import { Text } from './text.tsx'

const refreshMs = 1_000
/** Transitions on one page, around the selected one. */
const timelineMax = 100

/** `GET /dashboard/jobs/:id?at=SEQ`: the job as it is now, and as it was after that transition. */
export async function jobPage(
  system: JobSystem,
  id: number,
  query: URLSearchParams,
  allowed: Allowed,
): Promise<Response> {
  const { at: asked } = parseQuery(pathQuery, query)
  const [job, explanation] = await Promise.all([system.find(id), system.explain(id)])
  if (!job) throw new JobNotFoundError(id)
  const lastSeq = explanation.because.seq
  const at = asked ?? lastSeq
  const after = Math.max(0, Math.min(at - timelineMax / 2, lastSeq - timelineMax))
  const [history, [origin], chart, log, result] = await Promise.all([
    system.history(id, { after, limit: timelineMax }),
    system.history(id, { after: 0, limit: 1 }),
    renderJob(system, id, { inline: true, ...(asked === undefined ? {} : { at }) }),
    newestLines(system, id),
    isAfter('succeed', job.state) ? resultOf(system, id) : null,
  ])
  const { at: now } = explanation
  return page({
    title: `Job ${id}`,
    section: '/dashboard/jobs',
    refreshMs,
    styles: ['chart.css'],
    children: (
      <>
        <Head job={job} next={explanation.next} allowed={allowed} />
        <ExplanationSection explanation={explanation} now={now} />
        <ProgressSection job={job} now={now} />
        <PathSection
          id={id}
          at={at}
          lastSeq={lastSeq}
          history={history}
          chart={chart}
          isKnownBulk={(bulk) => system.findBulk(bulk) !== undefined}
        />
        <LogSection id={id} log={log} />
        <div class="columns">
          <JobFacts job={job} origin={origin} now={now} />
          <div>
            <Json title="Payload" value={job.payload} link={`/jobs/${id}`} />
            {result}
          </div>
        </div>
      </>
    ),
  })
}

interface HeadProps {
  readonly job: Job
  readonly next: Explanation['next']
  readonly allowed: Allowed
}

/** Has a button for exactly what the machine allows a person to do, and says why something cannot be done now. */
function Head({ job: { id, state, type, queue }, next, allowed }: HeadProps) {
  const edit = changeTitle({ state })
  return (
    <section class="card head">
      <h1>Job {id}</h1>
      <StateLabel state={state} />
      <span>
        <Text of={type} /> <span class="muted">in queue</span> <Text of={queue} />
      </span>
      <div class="actions">
        {allowed.isProducer && (
          <ProducerNote commands={commands.filter((event) => next.some((step) => step.event === event))} />
        )}
        {allowed.command && edit && (
          <a class="button quiet" href={`/dashboard/jobs/${id}/edit`}>
            {edit}…
          </a>
        )}
        {commands.flatMap((event) => {
          const found = next.find((step) => step.event === event)
          if (!found || !allowed.command) return []
          return [
            <form method="post" action={`/dashboard/jobs/${id}/${event}`}>
              {found.possible !== false && <ReasonField command={event} />}
              <button
                type="submit"
                class={commandFacts(event).isDangerous ? 'danger' : undefined}
                disabled={found.possible === false}
                aria-describedby={found.possible === false ? `why-${event}` : undefined}
              >
                {upperFirst(event)}
              </button>
              {found.possible === false && (
                <p class="muted" id={`why-${event}`}>
                  <Text of={found.sentence} />
                </p>
              )}
            </form>,
          ]
        })}
      </div>
    </section>
  )
}

interface JobFactsProps {
  readonly job: Job
  /** Its first event. */
  readonly origin: HistoryEvent | undefined
  readonly now: number
}

function JobFacts({ job, origin, now }: JobFactsProps) {
  const when = (at: number | null) => (at === null ? '–' : <Time at={at} now={now} />)
  const rows: [string, unknown][] = [
    ['Attempts', `${job.attempt} of ${job.maxRetries + 1}`],
    ['Crashes', job.crashes],
    ...storedFields.flatMap(([name, { title }]): [string, unknown][] =>
      title === undefined ? [] : [[title, <Text of={`${job[name]}`} />]],
    ),
    ['Created', when(job.createdAt)],
    ...(origin?.schedule === undefined ? [] : [['Schedule', madeBy(origin, now)] satisfies [string, unknown]]),
    ...(job.finishedAt === null ? [['May run', when(job.runAt)] satisfies [string, unknown]] : []),
    ['Last started', when(job.startedAt)],
    ['Ended', when(job.finishedAt)],
    ['Timeout', job.timeoutMs === null ? "its handler's, else the server's" : duration(job.timeoutMs)],
    ...(job.traceId === null ? [] : [['Trace', <Text of={job.traceId} />] satisfies [string, unknown]]),
    ...(job.uniqueKey === null ? [] : [['Unique key', <Text of={job.uniqueKey} />] satisfies [string, unknown]]),
    ['Idempotency key', job.idempotencyKey === null ? '–' : <Text of={job.idempotencyKey} />],
  ]
  return (
    <section class="card">
      <h2>Facts</h2>
      <Facts rows={rows} />
    </section>
  )
}

/** What its handler returned, as a section of its page; of a job that has succeeded. */
async function resultOf(system: JobSystem, id: number) {
  try {
    const result = await system.result(id, { timeoutMs: 0 })
    if (result !== undefined) return <Json title="Result" value={result} link={`/jobs/${id}/result`} />
    return <NoResult why="Its handler returned nothing." />
  } catch (error) {
    // Retention has removed the job meanwhile, the result cannot be read, or is hidden.
    if (error instanceof JobSystemError) return <NoResult why={`${upperFirst(error.message)}.`} />
    throw error
  }
}

function NoResult({ why }: { readonly why: string }) {
  return (
    <section class="card">
      <h2>Result</h2>
      <p class="muted">
        <Text of={why} />
      </p>
    </section>
  )
}

/** The schedule that made a job, its tick, and how late it was. */
function madeBy({ schedule, tick, at }: HistoryEvent, now: number) {
  return (
    <>
      <a href={`/dashboard/schedules/${schedule}`}>{schedule}</a>
      {tick === undefined ? (
        ', beside its ticks'
      ) : (
        <>
          , for the tick at {new Date(tick).toISOString()}, <Time at={tick} now={now} />
          {at - tick < 1_000 ? ', made in time' : `, made ${duration(at - tick)} late`}
        </>
      )}
    </>
  )
}
