import type { Explanation } from '../../../engine/front-door.ts'
import { StateLabel, Time } from './parts.tsx'
import { Text } from './text.tsx'

/** Why a job is in its state, what prevents its next run, and what can happen next. */
export function ExplanationSection({ explanation, now }: { readonly explanation: Explanation; readonly now: number }) {
  const { summary, lastFailure, because, earliest, earliestRunAt, next } = explanation
  // That it has ended is all that its summary says.
  const obstacles = explanation.obstacles.filter(({ code }) => code !== 'ended')
  return (
    <section class="card explanation" aria-labelledby="why">
      <h2 id="why">Why it is here</h2>
      <p class="summary" id="summary">
        <Text of={summary} />
      </p>
      {obstacles.length > 0 && (
        <ul class="obstacles" aria-label="What prevents it">
          {obstacles.map(({ message }) => (
            <li>
              <Text of={message} />
            </li>
          ))}
        </ul>
      )}
      {lastFailure && lastFailure.seq !== because.seq && (
        <p class="failure">
          <Text of={lastFailure.sentence} />
        </p>
      )}
      <p>
        <strong>Runs:</strong> <Text of={earliest} />
        {earliestRunAt !== null && earliestRunAt > now && (
          <span class="muted">
            {' '}
            (<Time at={earliestRunAt} now={now} />)
          </span>
        )}
      </p>
      {next.length > 0 && (
        <details>
          <summary>
            What can happen next: {next.filter(({ possible }) => possible).length} of {next.length} events now
          </summary>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">Event</th>
                  <th scope="col">Leads to</th>
                  <th scope="col">Now?</th>
                  <th scope="col">In words</th>
                </tr>
              </thead>
              <tbody>
                {next.map(({ event, to, possible, sentence }) => (
                  <tr>
                    <td>{event}</td>
                    <td>
                      <StateLabel state={to} />
                    </td>
                    <td>{possible ? 'yes' : 'no'}</td>
                    <td>
                      <Text of={sentence} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </section>
  )
}
