import type { Job, JobFilter, JobSystem } from '../../../engine/front-door.ts'
import type { Allowed } from './allowed.ts'
import { BulkForms } from './bulk.tsx'
import { FilterFields, FilterForm } from './job-filter.tsx'
import { page } from './page.tsx'
import { number, StateLabel, Time } from './parts.tsx'
import { Text, visible } from './text.tsx'

const rowsMax = 50
/** Reads of the store that one request makes before it shows its results; the page's script continues from there. */
const readsMax = 5
const refreshMs = 2_000

/** `GET /dashboard/jobs`: the jobs that match the form, newest first. */
export async function jobsPage(
  system: JobSystem,
  query: URLSearchParams,
  allowed: Allowed,
  clock: () => number,
  gone: AbortSignal,
): Promise<Response> {
  const asked = new FilterFields(query)
  const cursor = query.get('cursor')
  const { jobs, next } = await look(system, asked.toFilter(), cursor, gone)
  const now = clock()
  // A page whose search continues by itself owns its rows.
  const isLive = cursor === null && asked.all.text === '' && (next === null || jobs.length === rowsMax)
  return page({
    title: 'Jobs',
    section: '/dashboard/jobs',
    ...(isLive ? { refreshMs } : {}),
    children: (
      <>
        <section class="card">
          <h1>Jobs</h1>
          <FilterForm asked={asked} types={system.types} />
        </section>
        <section class="card" aria-label="Found jobs">
          <JobTable jobs={jobs} now={now} />
          <Looked count={jobs.length} next={next} asked={asked} isFirst={cursor === null} />
        </section>
        <BulkForms
          asked={asked}
          open={system.bulks().filter((bulk) => bulk.can('run') || bulk.can('stop'))}
          allowed={allowed}
        />
      </>
    ),
  })
}

/** A page of rows, or as many as a few reads found. */
async function look(system: JobSystem, filter: JobFilter, cursor: string | null, gone: AbortSignal) {
  const jobs: Job[] = []
  let next = cursor
  for (let reads = 0; reads < readsMax && jobs.length < rowsMax; reads++) {
    const found = await system.list(
      { ...filter, limit: rowsMax - jobs.length, ...(next === null ? {} : { cursor: next }) },
      { signal: gone },
    )
    jobs.push(...found.jobs)
    next = found.nextCursor
    if (next === null) break
  }
  return { jobs, next }
}

function JobTable({ jobs, now }: { readonly jobs: readonly Job[]; readonly now: number }) {
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col" class="number">
              Job
            </th>
            <th scope="col">State</th>
            <th scope="col">Type</th>
            <th scope="col">Queue</th>
            <th scope="col" class="number">
              Attempt
            </th>
            <th scope="col">Created</th>
            <th scope="col">Last error, else payload</th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <tr id={`job-${job.id}`}>
              <td class="number">
                <a href={`/dashboard/jobs/${job.id}`}>{job.id}</a>
              </td>
              <td>
                <StateLabel state={job.state} />
              </td>
              <td>
                <Text of={job.type} />
              </td>
              <td>
                <Text of={job.queue} />
              </td>
              <td class="number">
                {job.attempt} of {job.maxRetries + 1}
              </td>
              <td>
                <Time at={job.createdAt} now={now} />
              </td>
              <td>
                <bdi class="truncate">
                  {truncate(job.error ? `${job.error.name}: ${job.error.message}` : job.payload)}
                </bdi>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** The value on one line, truncated. */
function truncate(value: unknown, charactersMax = 160): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return visible(text.length > charactersMax ? `${text.slice(0, charactersMax)}…`.toWellFormed() : text)
}

interface LookedProps {
  readonly count: number
  readonly next: string | null
  readonly asked: FilterFields
  readonly isFirst: boolean
}

/** How far the search has come, and the link to continue. */
function Looked({ count, next, asked, isFirst }: LookedProps) {
  const href = `/dashboard/jobs?${new URLSearchParams({ ...asked.given, cursor: next ?? '' })}`
  return (
    <p id="looked" role="status">
      {next === null ? (
        count === 0 && isFirst ? (
          'No jobs match.'
        ) : (
          'End of list.'
        )
      ) : count < rowsMax ? (
        <>
          Searched back to job {number(Number(next))}.{' '}
          <a href={href} data-more={rowsMax}>
            Keep searching
          </a>
        </>
      ) : (
        <a href={href}>Older jobs</a>
      )}
    </p>
  )
}
