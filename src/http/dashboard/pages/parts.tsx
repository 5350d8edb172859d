import {
  charts,
  duration,
  type JobState,
  reasonMax,
  type ScheduleInfo,
  scheduleChart,
} from '../../../engine/front-door.ts'
import { kindOf } from '../charts/kind.ts'
import { visible } from './text.tsx'

/** No state of a job has the name of one of a schedule. */
const kinds = new Map([...charts.job.nodes, ...scheduleChart.nodes].map((node) => [node.id, kindOf(node)]))

export function StateLabel({ state }: { readonly state: JobState | ScheduleInfo['state'] }) {
  return <span class={`state kind-${kinds.get(state)}`}>{state}</span>
}

export function number(value: number): string {
  return value.toLocaleString('en')
}

function instant(at: number): string {
  return new Date(at).toISOString()
}

/** An instant in words, with the exact instant for programs and as a tooltip. */
export function Time({ at, now }: { readonly at: number; readonly now: number }) {
  const words = at > now ? `in ${duration(at - now)}` : `${duration(now - at)} ago`
  return (
    <time datetime={instant(at)} title={instant(at)}>
      {words}
    </time>
  )
}

/** Names beside their values. */
export function Facts({ rows }: { readonly rows: readonly (readonly [name: string, value: unknown])[] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  )
}

/** A text of a user, unchanged. */
export function Pre({ text }: { readonly text: string }) {
  return (
    // Keyboard users must be able to scroll it.
    <pre dir="ltr" tabindex={0}>
      {visible(text)}
    </pre>
  )
}

export function upperFirst(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}

/** The buttons for what only the server of the file can do, and why they are disabled here. */
export function ProducerNote({ commands }: { readonly commands: readonly string[] }) {
  return (
    <>
      <p class="muted" id="only-the-server">
        This process only enqueues and reads jobs. To cancel or requeue them, use the dashboard of the server of this
        file.
      </p>
      {commands.map((command) => (
        <button type="button" disabled aria-describedby="only-the-server">
          {upperFirst(command)}
        </button>
      ))}
    </>
  )
}

/** The reason for pressing a button, which the history keeps. */
export function ReasonField({ command }: { readonly command: string }) {
  return (
    <input name="reason" maxlength={reasonMax} placeholder="Why (optional)" aria-label={`Why ${command}`} data-own />
  )
}
