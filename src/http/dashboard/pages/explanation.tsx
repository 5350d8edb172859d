import type { Explanation } from '../../../engine/front-door.ts'
import { StateLabel, Time } from './parts.tsx'
import { Text } from './text.tsx'

/** Why a job is in its state, what prevents its next run, and what can happen next. */
export function ExplanationSection({ explanation, now }: { readonly explanation: Explanation; readonly now: number }) {
  const { summary, advice, lastFailure, because, earliest, next, workers } = explanation
  return (
    <section class="card explanation" aria-labelledby="why">
      <h2 id="why">Why it is here</h2>
      <p class="summary" id="summary">
        <Text of={summary} />
      </p>
      <p class="advice" id="advice">
        <strong>What to do:</strong> <Text of={advice} />
      </p>
      {lastFailure && lastFailure.seq !== because.seq && (
        <p class="failure">
          <Text of={lastFailure.sentence} />
        </p>
      )}
      <p>
        <strong>Runs:</strong> <Text of={earliest} />
      </p>
      {workers.length > 0 && <Workers workers={workers} now={now} />}
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

/** Who holds the workers that it waits for. */
function Workers({ workers, now }: { readonly workers: Explanation['workers']; readonly now: number }) {
  return (
    <div class="scroll">
      <table>
        <caption>Who holds the workers</caption>
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">Type</th>
            <th scope="col">Since</th>
            <th scope="col">Until</th>
          </tr>
        </thead>
        <tbody>
          {workers.map(({ jobId, type, since, until, abortedAt }) => (
            <tr>
              <td>
                <a href={`/dashboard/jobs/${jobId}`}>{jobId}</a>
              </td>
              <td>
                <Text of={type} />
              </td>
              <td>
                <Time at={since} now={now} />
              </td>
              <td>
                {abortedAt === null ? (
                  until !== null && (
                    <>
                      <Time at={until} now={now} />, at the latest
                    </>
                  )
                ) : (
                  <>
                    ignores its signal: told to stop <Time at={abortedAt} now={now} />
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
