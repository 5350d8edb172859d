import {
  type Bulk,
  type CallerOptions,
  commandFacts,
  commands,
  eventsFrom,
  type JobFilter,
  type JobSystem,
  jobStates,
} from '../../../engine/front-door.ts'
import { InvalidInputError } from '../../../errors.ts'
import { callerOf } from '../../request.ts'
import { findBulk } from '../../routes/bulk.ts'
import type { Route } from '../../routes/route.ts'
import { type Allowed, allowedTo } from './allowed.ts'
import { FilterFields, HiddenFields } from './job-filter.tsx'
import { page, seeOther } from './page.tsx'
import { number, ProducerNote, ReasonField, upperFirst } from './parts.tsx'
import { Text } from './text.tsx'

const refreshMs = 500

interface BulkFormsProps {
  readonly asked: FilterFields
  /** The actions that have not ended. */
  readonly open: readonly Bulk[]
  readonly allowed: Allowed
}

/**
 * Below a list: what the user can do with all the jobs it finds, and the actions in progress. No job changes before the count was shown and
 * confirmed.
 */
export function BulkForms({ asked, open, allowed }: BulkFormsProps) {
  const state = jobStates.find((name) => name === asked.all.state)
  const possible = commands.filter((command) => state === undefined || eventsFrom(state).includes(command))
  if (!allowed.bulk && open.length === 0) {
    if (!allowed.isProducer) return null
    return (
      <section class="card head">
        <ProducerNote commands={possible} />
      </section>
    )
  }
  return (
    <section class="card" aria-labelledby="bulk">
      <h2 id="bulk">All matching jobs</h2>
      <div class="head">
        {(allowed.bulk ? possible : []).map((command) => (
          <form method="post" action="/dashboard/bulk">
            <input type="hidden" name="command" value={command} />
            <HiddenFields asked={asked} />
            <button type="submit" class={commandFacts(command).isDangerous ? 'danger' : 'quiet'}>
              {upperFirst(command)}…
            </button>
          </form>
        ))}
        <span class="muted" hidden={!allowed.bulk}>
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
                {moved > 0 && `, ${number(moved)} changed`}
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  )
}

/** The pages of bulk actions, and the actions of their forms. */
export function bulkRoutes(system: JobSystem): readonly Route[] {
  const commandRoutes = (['run', 'stop'] as const).map((command): Route => {
    return {
      method: 'POST',
      path: `/dashboard/bulk/:bulk/${command}`,
      role: 'admin',
      takes: 'form',
      async handle(_, c, form) {
        const bulk = findBulk(system, c)
        if (command === 'run')
          bulk.run(Number(form.get('matched')), callerOf(c, 'dashboard', { reason: form.get('reason') }))
        else await bulk.stop()
        return seeOther(`/dashboard/bulk/${bulk.id}`)
      },
    }
  })
  return [
    {
      method: 'POST',
      path: '/dashboard/bulk',
      role: 'admin',
      takes: 'form',
      handle: (_, c, form) => prepare(system, form, callerOf(c, 'dashboard')),
    },
    {
      method: 'GET',
      path: '/dashboard/bulk/:bulk',
      limit: 'read',
      handle: (_, c) => bulkPage(findBulk(system, c), allowedTo(system, c)),
    },
    ...commandRoutes,
  ]
}

/** Starts to count. */
async function prepare(system: JobSystem, form: URLSearchParams, caller: CallerOptions): Promise<Response> {
  const command = commands.find((event) => event === form.get('command'))
  if (!command) throw new InvalidInputError([{ path: 'command', message: `must be one of: ${commands.join(', ')}` }])
  const { id } = await system.prepareBulk(command, new FilterFields(form).toFilter(), caller)
  return seeOther(`/dashboard/bulk/${id}`)
}

function bulkPage(bulk: Bulk, allowed: Allowed): Response {
  return page({
    title: titleOf(bulk),
    section: '/dashboard/jobs',
    refreshMs,
    children: <BulkView bulk={bulk} allowed={allowed} />,
  })
}

function titleOf({ command }: Bulk): string {
  return `${upperFirst(command)} many jobs`
}

function BulkView({ bulk, allowed }: { readonly bulk: Bulk; readonly allowed: Allowed }) {
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
        {isOver && `; ${number(moved)} changed`}
        {refused > 0 && `, ${number(refused)} were no longer in that state and left alone`}
        {error !== null && (
          <>
            ; <Text of={error} />
          </>
        )}
      </p>
      {isOver && <progress max={matched} value={moved + refused} aria-label="Progress" />}
      <div class="head">
        {allowed.bulk && bulk.can('run') && matched > 0 && (
          <form method="post" action={`/dashboard/bulk/${id}/run`}>
            <input type="hidden" name="matched" value={`${matched}`} />
            <ReasonField command={bulk.command} />
            <button type="submit">
              {upperFirst(bulk.command)} {number(matched)} {matched === 1 ? 'job' : 'jobs'}
            </button>
          </form>
        )}
        {allowed.bulk && bulk.can('stop') && (
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
    ...(createdFrom === undefined ? [] : [`created from ${new Date(createdFrom).toISOString()}`]),
    ...(createdTo === undefined ? [] : [`created before ${new Date(createdTo).toISOString()}`]),
  ]
  return <Text of={parts.length === 0 ? 'All jobs that allow it.' : `Jobs with ${parts.join(', ')}.`} />
}

/** Converts a filter into the fields of its form. */
function fieldsOfFilter({ createdFrom, createdTo, ...words }: JobFilter): Record<string, string> {
  const field = (at: number) => new Date(at).toISOString().slice(0, -1)
  return {
    ...(words as Record<string, string>),
    ...(createdFrom === undefined ? {} : { created_from: field(createdFrom) }),
    ...(createdTo === undefined ? {} : { created_to: field(createdTo) }),
  }
}
