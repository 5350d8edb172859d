import { type Bulk, commandFacts, commands, eventsFrom, type JobSystem, jobStates } from '../../../engine/front-door.ts'
import { InvalidInputError } from '../../../errors.ts'
import { byDashboard } from '../../request.ts'
import { type FilterFields, fieldsOf, fieldsOfFilter, HiddenFields, toFilter } from './job-filter.tsx'
import { page, seeOther } from './page.tsx'
import { instant, number, upperFirst } from './parts.tsx'
import { Text } from './text.tsx'

const refreshMs = 500

interface BulkFormsProps {
  readonly asked: FilterFields
  /** Those that are not at their end. */
  readonly open: readonly Bulk[]
}

/** Below a list: what can be done with all that it finds, and what is being done. Nothing moves before its count was shown and confirmed. */
export function BulkForms({ asked, open }: BulkFormsProps) {
  const state = jobStates.find((name) => name === asked.state)
  const possible = commands.filter((command) => state === undefined || eventsFrom(state).includes(command))
  return (
    <section class="card" aria-labelledby="bulk">
      <h2 id="bulk">All matching jobs</h2>
      <div class="head">
        {possible.map((command) => (
          <form method="post" action="/dashboard/bulk">
            <input type="hidden" name="command" value={command} />
            <HiddenFields asked={asked} />
            <button type="submit" class={commandFacts(command).isDangerous ? 'danger' : 'quiet'}>
              {upperFirst(command)}…
            </button>
          </form>
        ))}
        <span class="muted">
          {possible.length === 0
            ? `A ${state} job allows no command.`
            : 'They are counted first; nothing changes until you confirm the count.'}
        </span>
      </div>
      {open.length > 0 && (
        <>
          <h3>Running, or waiting for your confirmation</h3>
          <ul id="open-bulks">
            {open.map(({ id, command, phase, matched, moved }) => (
              <li>
                <a href={`/dashboard/bulk/${id}`}>
                  {upperFirst(command)} {number(matched)} jobs
                </a>
                : {phase}
                {moved > 0 && `, ${number(moved)} moved`}
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  )
}

/** `POST /dashboard/bulk`: begins to count. */
export async function beginBulk(system: JobSystem, form: URLSearchParams): Promise<Response> {
  const command = commands.find((event) => event === form.get('command'))
  if (!command) throw new InvalidInputError([{ path: 'command', message: `must be one of: ${commands.join(', ')}` }])
  const { id } = await system.prepareBulk(command, toFilter(fieldsOf(form)), byDashboard)
  return seeOther(`/dashboard/bulk/${id}`)
}

/** `POST /dashboard/bulk/:id/run` and `/stop` */
export async function commandBulk(bulk: Bulk, command: 'run' | 'stop', form: URLSearchParams): Promise<Response> {
  if (command === 'run') bulk.run(Number(form.get('matched')))
  else await bulk.stop()
  return seeOther(`/dashboard/bulk/${bulk.id}`)
}

/** `GET /dashboard/bulk/:id` */
export function bulkPage(bulk: Bulk): Response {
  return page({ title: titleOf(bulk), section: '/dashboard/jobs', refreshMs, children: <BulkView bulk={bulk} /> })
}

function titleOf({ command }: Bulk): string {
  return `${upperFirst(command)} many jobs`
}

function BulkView({ bulk }: { readonly bulk: Bulk }) {
  const { id, phase, matched, more, moved, refused, error, upTo, lookedTo } = bulk
  const isOver = moved + refused > 0 || error !== null
  return (
    <section class="card">
      <h1>{titleOf(bulk)}</h1>
      <p>
        <FilterInWords bulk={bulk} />
      </p>
      <p id="phase">
        <strong role="status">{phase}</strong>: {number(matched)} {matched === 1 ? 'job matches' : 'jobs match'}
        {more && ', the newest of more'}
        {lookedTo !== null &&
          lookedTo > 1 &&
          `; looked back from job ${number(upTo ?? lookedTo)} to ${number(lookedTo)}`}
        {isOver && `; ${number(moved)} moved`}
        {refused > 0 && `, ${number(refused)} were no longer in that state and left alone`}
        {error !== null && (
          <>
            ; <Text of={error} />
          </>
        )}
      </p>
      {isOver && <progress max={matched} value={moved + refused} aria-label="Progress" />}
      <div class="head">
        {bulk.can('run') && matched > 0 && (
          <form method="post" action={`/dashboard/bulk/${id}/run`}>
            <input type="hidden" name="matched" value={`${matched}`} />
            <button type="submit">
              {upperFirst(bulk.command)} {number(matched)} {matched === 1 ? 'job' : 'jobs'}
            </button>
          </form>
        )}
        {bulk.can('stop') && (
          <form method="post" action={`/dashboard/bulk/${id}/stop`}>
            <button type="submit" class="quiet">
              {bulk.can('run') ? 'Discard' : 'Stop'}
            </button>
          </form>
        )}
        <a href={`/dashboard/jobs?${new URLSearchParams(fieldsOfFilter(bulk.filter))}`}>Back to the jobs</a>
        <noscript>Reload the page to see its progress.</noscript>
      </div>
    </section>
  )
}

function FilterInWords({ bulk: { filter } }: { readonly bulk: Bulk }) {
  const { createdFrom, createdTo, ...words } = filter
  const parts = [
    ...Object.entries(words).map(([name, value]) => `${name} ${value}`),
    ...(createdFrom === undefined ? [] : [`created from ${instant(createdFrom)}`]),
    ...(createdTo === undefined ? [] : [`created before ${instant(createdTo)}`]),
  ]
  return <Text of={parts.length === 0 ? 'All jobs that allow it.' : `Jobs with ${parts.join(', ')}.`} />
}
