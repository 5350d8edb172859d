import type { Job } from '../../../engine/front-door.ts'
import { number, Pre, Time } from './parts.tsx'

/** What a bar shows. */
interface Bar {
  readonly value: number
  readonly max: number
  readonly label: string
}

/** What the handler of a job reported: a bar for a percentage or `{ done, total }`, the value itself for others. */
export function ProgressSection({ job, now }: { readonly job: Job; readonly now: number }) {
  const { progress, progressAt, progressAttempt } = job
  if (progressAt === null) return null
  const bar = barOf(progress)
  return (
    <section class="card" id="progress">
      <h2>
        Progress{' '}
        <span class="muted">
          reported in attempt {progressAttempt}, <Time at={progressAt} now={now} />
        </span>
      </h2>
      {bar && (
        <p>
          <progress max={bar.max} value={bar.value} aria-label="Progress" /> {bar.label}
        </p>
      )}
      {!isWhole(progress, bar) && <Pre text={JSON.stringify(progress, null, 2) ?? ''} />}
    </section>
  )
}

function barOf(progress: unknown): Bar | null {
  if (isShare(progress, 100)) return { value: progress, max: 100, label: `${progress.toLocaleString('en')} %` }
  const { done, total } = Object(progress)
  if (!isShare(done, total)) return null
  return { value: done, max: total, label: `${number(done)} of ${number(total)}` }
}

/** Of something that is more than nothing. */
function isShare(value: unknown, of: unknown): value is number {
  return typeof value === 'number' && typeof of === 'number' && of > 0 && value >= 0 && value <= of
}

/** Whether the bar says all that was reported. */
function isWhole(progress: unknown, bar: Bar | null): boolean {
  return bar !== null && (typeof progress === 'number' || Object.keys(Object(progress)).length === 2)
}
