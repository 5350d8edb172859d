import {
  causeOf,
  type DescribedError,
  duration,
  type HistoryEvent,
  type StoredError,
  snakeCase,
  whoOf,
} from '../../../engine/front-door.ts'
import { ChartFrame } from './chart.tsx'
import { Pre, StateLabel } from './parts.tsx'
import { Text } from './text.tsx'

interface PathProps {
  readonly id: number
  readonly at: number
  readonly lastSeq: number
  readonly history: readonly HistoryEvent[]
  /** SVG made by us. */
  readonly chart: string
  /** Whether a bulk action has a page. */
  readonly isKnownBulk: (bulk: string) => boolean
}

/** How a job came to its state: its machine with the path that it took, and its history. */
export function PathSection({ id, at, lastSeq, history, chart, isKnownBulk }: PathProps) {
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
          <Step
            id={id}
            row={row}
            isShown={row.seq === at}
            after={history[index - 1]?.at ?? null}
            isKnownBulk={isKnownBulk}
          />
        ))}
      </ol>
    </section>
  )
}

interface StepProps {
  readonly id: number
  readonly row: HistoryEvent
  readonly isShown: boolean
  /** The instant of the previous step; null if it is not shown. */
  readonly after: number | null
  readonly isKnownBulk: PathProps['isKnownBulk']
}

function Step({ id, row, isShown, after, isKnownBulk }: StepProps) {
  const { seq, event, from, to, attempt, at, error, note, reason, bulk, changes } = row
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
      {(row.cause !== causeOf(event).cause || row.node) && (
        <span class="cause muted">
          by <Text of={whoOf(row)} />
          {bulk !== undefined && (
            <>, in {isKnownBulk(bulk) ? <a href={`/dashboard/bulk/${bulk}`}>a bulk action</a> : 'a bulk action'}</>
          )}
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
      {changes && (
        <span class="cause muted">
          <Text of={describeChanges(changes)} />
          {'payload' in changes && (
            <>
              {' '}
              (
              {changes.payloadGone ? (
                'the one before is no longer kept'
              ) : (
                <a href={`/jobs/${id}/payload?at=${seq - 1}`}>the one before</a>
              )}
              )
            </>
          )}
        </span>
      )}
      {note !== undefined && (
        <span class="cause muted">
          <Text of={note} />
        </span>
      )}
      {error && <ErrorDetails error={error} />}
    </li>
  )
}

/** `priority 0 → 5, payload`. */
function describeChanges(changes: NonNullable<HistoryEvent['changes']>): string {
  const said = Object.entries(changes).map(([name, change]) => {
    const shown = (value: number) => (name === 'runAt' ? new Date(value).toISOString() : value)
    return change === true ? '' : `${snakeCase(name)} ${shown(change.from)} → ${shown(change.to)}`
  })
  return [...said, 'payload' in changes ? 'payload' : ''].filter(Boolean).join(', ')
}

/** An instant of a history, in UTC: to the ms, with the day if it differs from the previous one, and the time since that one. */
function Moment({ at, after }: { readonly at: number; readonly after: number | null }) {
  const text = new Date(at).toISOString()
  const isNewDay = after === null || new Date(after).toISOString().slice(0, 10) !== text.slice(0, 10)
  return (
    <time class="number" datetime={text}>
      {isNewDay && `${text.slice(0, 10)} `}
      {text.slice(11, -1)}
      {after !== null && <span class="muted"> +{duration(at - after)}</span>}
    </time>
  )
}

/** Stays open for a user who opened it while the page is updated, because a history never changes. */
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
