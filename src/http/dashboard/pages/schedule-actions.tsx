import { type ScheduleInfo, scheduleEventsFrom } from '../../../engine/front-door.ts'
import type { Allowed } from './allowed.ts'
import { ReasonField, upperFirst } from './parts.tsx'

/** What a user can do with a schedule besides editing it. */
export const scheduleCommands = ['pause', 'resume', 'trigger', 'end'] as const

interface ActionsProps {
  readonly schedule: ScheduleInfo
  readonly allowed: Allowed
}

/** A button for exactly what the machine allows and the program leaves to users. Ending is confirmed, because nothing undoes it. */
export function ScheduleActions({ schedule: { name, state, source }, allowed }: ActionsProps) {
  const possible = scheduleEventsFrom(state)
  if (possible.length === 0) return null
  if (allowed.isProducer)
    return (
      <p class="muted">
        This process only enqueues and reads jobs. To change schedules, use the dashboard of the server of this file.
      </p>
    )
  const isInCode = source === 'code'
  return (
    <>
      {isInCode && (
        <p class="muted" id="in-code">
          The program declares it: edit it there. A pause lasts until somebody resumes it.
        </p>
      )}
      {allowed.command && (
        <div class="actions wrapping">
          {possible.includes('edit') && !isInCode && (
            <a class="button quiet" href={`/dashboard/schedules/${name}/edit`}>
              Edit
            </a>
          )}
          {scheduleCommands
            .filter((command) => command !== 'end' && possible.includes(command))
            .map((command) => (
              <CommandForm name={name} command={command} button={upperFirst(command)} />
            ))}
          {!isInCode && possible.includes('end') && (
            <details data-own>
              <summary>End…</summary>
              <p>It will have no more ticks, and cannot be resumed. Its jobs and its history stay.</p>
              <CommandForm name={name} command="end" button={`End ${name}`} isDangerous />
            </details>
          )}
        </div>
      )}
    </>
  )
}

interface FormProps {
  readonly name: string
  readonly command: (typeof scheduleCommands)[number]
  readonly button: string
  readonly isDangerous?: boolean
}

function CommandForm({ name, command, button, isDangerous = false }: FormProps) {
  return (
    <form method="post" action={`/dashboard/schedules/${name}/${command}`}>
      <ReasonField command={command} />
      <button type="submit" class={isDangerous ? 'danger' : undefined}>
        {button}
      </button>
    </form>
  )
}
