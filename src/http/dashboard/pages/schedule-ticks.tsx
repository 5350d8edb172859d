import type { SchedulePreview } from '../../../engine/front-door.ts'
import { Time } from './parts.tsx'
import { Text } from './text.tsx'

interface TicksProps {
  readonly preview: SchedulePreview
  readonly zone: string
  readonly now: number
}

/** The next ticks of a schedule, and what may surprise about them. */
export function Ticks({ preview: { ticks, warnings }, zone, now }: TicksProps) {
  const hasZone = zone !== 'UTC'
  return (
    <>
      {ticks.length === 0 ? (
        <p class="muted">No tick is left.</p>
      ) : (
        <section class="scroll" tabindex={0} aria-label="Ticks">
          <table id="ticks">
            <thead>
              <tr>
                <th scope="col">
                  In <Text of={zone} />
                </th>
                {hasZone && <th scope="col">In UTC</th>}
                <th scope="col">From now</th>
              </tr>
            </thead>
            <tbody>
              {ticks.map(({ tick, utc, local }) => (
                <tr>
                  <td class="instant">{local}</td>
                  {hasZone && <td class="instant">{utc}</td>}
                  <td>
                    <Time at={tick} now={now} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {warnings.length > 0 && (
        <ul class="warnings" aria-label="What may surprise">
          {warnings.map((warning) => (
            <li>
              <strong>Note:</strong> <Text of={warning} />
            </li>
          ))}
        </ul>
      )}
    </>
  )
}
