import {
  causeOf,
  commandFacts,
  commands,
  type DescribedError,
  type Explanation,
  type HistoryEvent,
  type Job,
  type JobSystem,
  type StoredError,
  storedFields,
  whoOf,
} from '../../../engine/front-door.ts'
import { JobNotFoundError } from '../../../errors.ts'
import { parseQuery, pathQuery } from '../../query.ts'
import { renderJob } from '../charts/render.ts'
import { ChartFrame } from './chart.tsx'
import { ExplanationSection } from './explanation.tsx'
import { page } from './page.tsx'
import { duration, Json, Moment, number, Pre, StateLabel, Time, upperFirst } from './parts.tsx'
import { Text } from './text.tsx'

const refreshMs = 1_000
/** Transitions on one page, around the one that is looked at. */
const timelineMax = 100
/** Characters of a payload that are shown. */
const payloadShownMax = 4_000

/** `GET /dashboard/jobs/:id?at=SEQ`: the job, as it is and as it was after that transition. */
export async function jobPage(
  system: JobSystem,
  id: number,
  query: URLSearchParams,
  clock: () => number,
): Promise<Response> {
  const { at: asked } = parseQuery(pathQuery, query)
  const [job, explanation] = await Promise.all([system.find(id), system.explain(id)])
  if (!job) throw new JobNotFoundError(id)
  const lastSeq = explanation.because.seq
  const at = asked ?? lastSeq
  const after = Math.max(0, Math.min(at - timelineMax / 2, lastSeq - timelineMax))
  const [history, chart] = await Promise.all([
    system.history(id, { after, limit: timelineMax }),
    renderJob(system, id, { inline: true, ...(asked === undefined ? {} : { at }) }),
  ])
  const now = clock()
  return page({
    title: `Job ${id}`,
    section: '/dashboard/jobs',
    refreshMs,
    styles: ['chart.css'],
    children: (
      <>
        <Head job={job} next={explanation.next} />
        <ExplanationSection explanation={explanation} now={now} />
        <Path id={id} at={at} lastSeq={lastSeq} history={history} chart={chart} />
        <div class="columns">
          <Facts job={job} now={now} />
          <Payload job={job} />
        </div>
      </>
    ),
  })
}

interface HeadProps {
  readonly job: Job
  readonly next: Explanation['next']
}

/** With a button for exactly what the machine lets a person do; what cannot be done now says why. */
function Head({ job: { id, state, type, queue }, next }: HeadProps) {
  return (
    <section class="card head">
      <h1>Job {id}</h1>
      <StateLabel state={state} />
      <span>
        <Text of={type} /> <span class="muted">in queue</span> <Text of={queue} />
      </span>
      <div class="actions">
        {commands.flatMap((event) => {
          const found = next.find((step) => step.event === event)
          if (!found) return []
          return [
            <form method="post" action={`/dashboard/jobs/${id}/${event}`}>
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

interface PathProps {
  readonly id: number
  readonly at: number
  readonly lastSeq: number
  readonly history: readonly HistoryEvent[]
  /** SVG of ours. */
  readonly chart: string
}

function Path({ id, at, lastSeq, history, chart }: PathProps) {
  return (
    <section class="card">
      <h2>
        Its path{' '}
        <span class="muted">{at === lastSeq ? 'until now' : `after step ${at} of ${lastSeq}`}; times in UTC</span>
      </h2>
      <ChartFrame svg={chart} isWide />
      <form method="get" class="scrub">
        <label for="at">Step</label>
        <input
          id="at"
          name="at"
          type="range"
          min={1}
          max={lastSeq}
          value={at}
          data-scrub
          aria-valuetext={`step ${at} of ${lastSeq}`}
        />
        <noscript>
          <button type="submit" class="quiet">
            Show
          </button>
        </noscript>
        <span>
          <a href={`/dashboard/jobs/${id}?at=1`}>First</a> · <a href={`/dashboard/jobs/${id}`}>Now</a>
        </span>
      </form>
      <ol class="timeline" start={history[0]?.seq}>
        {history.map((row, index) => (
          <Step id={id} row={row} isShown={row.seq === at} after={history[index - 1]?.at ?? null} />
        ))}
      </ol>
    </section>
  )
}

interface StepProps {
  readonly id: number
  readonly row: HistoryEvent
  readonly isShown: boolean
  /** When the step before it was; null if it is not shown. */
  readonly after: number | null
}

function Step({ id, row, isShown, after }: StepProps) {
  const { seq, event, from, to, attempt, at, error, reason, bulk } = row
  return (
    <li id={`step-${seq}`} aria-current={isShown ? 'step' : undefined}>
      <a class="number" href={`/dashboard/jobs/${id}?at=${seq}`}>
        {seq}
      </a>
      <strong>{event}</strong>
      <span>
        {from && <StateLabel state={from} />} → <StateLabel state={to} />
        {attempt > 0 && <span class="muted"> attempt {attempt}</span>}
      </span>
      <Moment at={at} after={after} />
      {row.cause !== causeOf(event).cause && (
        <span class="cause muted">
          by <Text of={whoOf(row)} />
          {bulk !== undefined && ', in a bulk action'}
          {reason !== undefined && (
            <>
              : <Text of={reason} />
            </>
          )}
        </span>
      )}
      {error && (
        <span class="failure">
          <Text of={`${error.name}: ${error.message}`} />
        </span>
      )}
      {error && <ErrorDetails error={error} />}
    </li>
  )
}

/** Whoever opened it has it open still when the page is made anew: what a history says does not change. */
function ErrorDetails({ error: { stack, ...error } }: { readonly error: StoredError }) {
  const lines = [
    ...codesOf(error),
    ...(error.causes ?? []).flatMap((cause) => [`cause: ${cause.name}: ${cause.message}`, ...codesOf(cause)]),
    ...(error.errors ?? []).flatMap((inner) => [`error: ${inner.name}: ${inner.message}`, ...codesOf(inner)]),
    ...(stack === undefined ? [] : [stack]),
  ]
  if (lines.length === 0) return null
  return (
    <details data-own>
      <summary>{stack === undefined ? 'Details' : 'Stack'}</summary>
      <Pre text={lines.join('\n')} />
    </details>
  )
}

function codesOf({ code, errno, syscall }: DescribedError): string[] {
  return Object.entries({ code, errno, syscall }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  )
}

function Facts({ job, now }: { readonly job: Job; readonly now: number }) {
  const when = (at: number | null) => (at === null ? '–' : <Time at={at} now={now} />)
  const rows: [string, unknown][] = [
    ['Attempts', `${job.attempt} of ${job.maxRetries + 1}`],
    ['Crashes', job.crashes],
    ...storedFields.flatMap(([name, { title }]): [string, unknown][] =>
      title === undefined ? [] : [[title, <Text of={`${job[name]}`} />]],
    ),
    ['Created', when(job.createdAt)],
    ['May run', when(job.runAt)],
    ['Last started', when(job.startedAt)],
    ['Ended', when(job.finishedAt)],
    ['Timeout', job.timeoutMs === null ? "its handler's, else the server's" : duration(job.timeoutMs)],
    ['Idempotency key', job.idempotencyKey === null ? '–' : <Text of={job.idempotencyKey} />],
  ]
  return (
    <section class="card">
      <h2>Facts</h2>
      <dl class="facts">
        {rows.map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </>
        ))}
      </dl>
    </section>
  )
}

/** A long one is cut: indented, nested arrays take sixty times the room, and this page is made anew every second. */
function Payload({ job: { id, payload } }: { readonly job: Job }) {
  const text = JSON.stringify(payload)
  return (
    <section class="card">
      <h2>Payload</h2>
      {text.length <= payloadShownMax ? (
        <Json value={payload} />
      ) : (
        <>
          <Pre text={`${text.slice(0, payloadShownMax)}…`.toWellFormed()} />
          <p class="muted">
            The first {number(payloadShownMax)} of {number(text.length)} characters;{' '}
            <a href={`/jobs/${id}`}>all of it</a>, as JSON.
          </p>
        </>
      )}
    </section>
  )
}
