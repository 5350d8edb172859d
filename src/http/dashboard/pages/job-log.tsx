import type { JobLog, JobSystem } from '../../../engine/front-door.ts'
import { number } from './parts.tsx'
import { Text } from './text.tsx'

/** Lines that are shown: the page is rendered again every second. */
const shownMax = 100

/** The newest lines of a job's log. */
export async function newestLines(system: JobSystem, id: number): Promise<JobLog> {
  const { last } = await system.log(id, { limit: 1 })
  return system.log(id, { after: Math.max((last ?? 0) - shownMax, 0), limit: shownMax })
}

export function LogSection({ id, log: { lines, first, last } }: { readonly id: number; readonly log: JobLog }) {
  if (last === null) return null
  const earlier = (lines[0]?.n ?? last) - first!
  return (
    <section class="card" id="log">
      <h2>
        Log <span class="muted">what its handler logged; times in UTC</span>
      </h2>
      <ol class="log" start={lines[0]?.n}>
        {lines.map(({ n, at, attempt, level, message, fields }) => (
          <li id={`line-${n}`} class={level}>
            <span class="muted number">{n}</span>
            <time class="number" datetime={new Date(at).toISOString()}>
              {new Date(at).toISOString().slice(11, -1)}
            </time>
            <span class="level">{level}</span>
            <span>
              <Text of={message} /> {fields && <code>{<Text of={JSON.stringify(fields)} />}</code>}{' '}
              <span class="muted">attempt {attempt}</span>
            </span>
          </li>
        ))}
      </ol>
      <p class="muted">
        {first! > 1 && (
          <>
            The {number(first! - 1)} lines before line {number(first!)} are no longer kept.{' '}
          </>
        )}
        {earlier > 0 && <>{number(earlier)} earlier lines are not shown. </>}
        <a href={`/jobs/${id}/log`}>All that is kept</a>, as JSON.
      </p>
    </section>
  )
}
