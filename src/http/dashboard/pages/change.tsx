import type { Context } from 'hono'
import { eventsFrom, type Job, type JobSystem, reasonMax } from '../../../engine/front-door.ts'
import { type InputIssue, InvalidInputError, JobNotFoundError, JobSystemError, PayloadError } from '../../../errors.ts'
import { callerOf, type Env, idOf } from '../../request.ts'
import type { Route } from '../../routes/route.ts'
import { allowedTo } from './allowed.ts'
import { page, seeOther } from './page.tsx'
import { StateLabel } from './parts.tsx'
import { Text } from './text.tsx'

/** Characters of a payload that the form offers; a form may have 64 KiB, and what it escapes takes three times the space. */
const editedMax = 16_384
const fieldNames = ['payload', 'run_at', 'priority', 'max_retries'] as const

type Fields = Readonly<Record<(typeof fieldNames)[number] | 'reason', string>>

/** A form as it is shown: `seq` is that of the last transition that its user has seen. */
interface Shown {
  readonly job: Job
  readonly seq: number
  readonly fields: Fields
  readonly faults: readonly InputIssue[]
  readonly hidesPayloads: boolean
}

/** Whether a person may change a job that waits, or one that has ended and is requeued; null if neither. */
export function changeTitle({ state }: Pick<Job, 'state'>): 'Edit' | 'Edit and requeue' | null {
  const events = eventsFrom(state)
  if (events.includes('amend')) return 'Edit'
  return events.includes('requeue') ? 'Edit and requeue' : null
}

/** `GET` and `POST /dashboard/jobs/:id/edit`. `hidesPayloads`: what is shown of a payload is not what is stored. */
export function changeRoutes(hidesPayloads: boolean): readonly Route[] {
  const path = '/dashboard/jobs/:id/edit'
  return [
    {
      method: 'GET',
      path,
      limit: 'read',
      async handle({ system }, c) {
        const shown = await look(system, idOf(c), hidesPayloads)
        if (!changeTitle(shown.job) || !allowedTo(system, c).command) return seeOther(`/dashboard/jobs/${shown.job.id}`)
        return editPage(shown)
      },
    },
    {
      method: 'POST',
      path,
      role: 'operate',
      takes: 'form',
      handle: ({ system }, c, form) => submitEdit(system, c, form, hidesPayloads),
    },
  ]
}

async function look(system: JobSystem, id: number, hidesPayloads: boolean): Promise<Shown> {
  const [job, { because }] = await Promise.all([system.find(id), system.explain(id)])
  if (!job) throw new JobNotFoundError(id)
  return { job, seq: because.seq, fields: fieldsOf(job, hidesPayloads), faults: [], hidesPayloads }
}

/** The values of a job as the form shows them; empty: to be left as it is. */
function fieldsOf(job: Job, hidesPayloads: boolean): Fields {
  const payload = JSON.stringify(job.payload, null, 2)
  return {
    payload: hidesPayloads || payload.length > editedMax ? '' : payload,
    run_at: changeTitle(job) === 'Edit' ? new Date(job.runAt).toISOString() : '',
    priority: `${job.priority}`,
    max_retries: `${job.maxRetries}`,
    reason: '',
  }
}

async function submitEdit(
  system: JobSystem,
  c: Context<Env>,
  form: URLSearchParams,
  hidesPayloads: boolean,
): Promise<Response> {
  if (!system.runsJobs) throw new JobSystemError('not_a_server', 'a producer cannot change jobs; use the server')
  const shown = await look(system, idOf(c), hidesPayloads)
  const { id } = shown.job
  const given = { ...shown.fields, ...Object.fromEntries(form) }
  if (form.get('seq') !== `${shown.seq}`) {
    const faults = [{ path: '', message: 'The job has changed since this form was shown. Here it is as it is now.' }]
    return editPage({ ...shown, faults }, 409)
  }
  try {
    const requeue = changeTitle(shown.job) === 'Edit and requeue'
    const caller = callerOf(c, 'dashboard', { reason: given.reason })
    const changes = changesIn(given, shown.fields)
    if (Object.keys(changes).length > 0) await system.submitChanges(id, changes, { ...caller, requeue })
    else if (requeue) await system.requeue(id, caller)
    return seeOther(`/dashboard/jobs/${id}`)
  } catch (error) {
    if (!(error instanceof InvalidInputError || error instanceof PayloadError)) throw error
    return editPage({ ...shown, fields: given, faults: error.issues }, 400)
  }
}

/** The fields that the user has changed, as HTTP has them. A browser sends other line ends than it got. */
function changesIn(given: Fields, was: Fields): Record<string, unknown> {
  const plain = (text: string) => text.replaceAll('\r\n', '\n').trim()
  const changed = fieldNames.filter((name) => plain(given[name]) !== '' && plain(given[name]) !== plain(was[name]))
  return Object.fromEntries(changed.map((name) => [name, wireValue(name, plain(given[name]))]))
}

function wireValue(name: (typeof fieldNames)[number], text: string): unknown {
  if (name === 'run_at') return text
  try {
    return JSON.parse(text)
  } catch {
    if (name !== 'payload') return text
    throw new InvalidInputError([{ path: name, message: 'is not JSON; text needs quotes' }])
  }
}

function editPage(shown: Shown, status = 200): Response {
  const { job, faults } = shown
  const title = changeTitle(job) ?? 'Edit'
  return page(
    {
      title: `${title} job ${job.id}`,
      section: '/dashboard/jobs',
      children: (
        <section class="card">
          <h1>
            {title} <a href={`/dashboard/jobs/${job.id}`}>job {job.id}</a> <StateLabel state={job.state} />
          </h1>
          <Faults faults={faults} />
          {changeTitle(job) && <EditForm {...shown} title={title} />}
        </section>
      ),
    },
    { status },
  )
}

function Faults({ faults }: Pick<Shown, 'faults'>) {
  if (faults.length === 0) return null
  return (
    <div class="error" role="alert">
      <ul>
        {faults.map(({ path, message }) => (
          <li>
            {path && <Text of={`${path}: `} />}
            <Text of={message} />
          </li>
        ))}
      </ul>
    </div>
  )
}

function EditForm({ job, seq, fields, hidesPayloads, title }: Shown & { readonly title: string }) {
  const now = title === 'Edit' ? '' : ' (empty: now)'
  return (
    <form method="post" action={`/dashboard/jobs/${job.id}/edit`} class="edit">
      <input type="hidden" name="seq" value={seq} />
      <label for="payload">Payload, as JSON</label>
      {fields.payload === '' && (
        <p class="muted" id="why-empty">
          {hidesPayloads ? 'It is hidden here.' : 'It is too long to be shown here.'} Leave this empty to keep it.
        </p>
      )}
      <textarea id="payload" name="payload" rows={12} spellcheck={false}>
        {fields.payload}
      </textarea>
      <label for="run_at">Run at, RFC 3339{now}</label>
      <input id="run_at" name="run_at" value={fields.run_at} placeholder="2030-01-31T09:30:00Z" />
      <label for="priority">Priority, −100 to 100</label>
      <input id="priority" name="priority" value={fields.priority} inputmode="numeric" />
      <label for="max_retries">Retries after the first attempt</label>
      <input id="max_retries" name="max_retries" value={fields.max_retries} inputmode="numeric" />
      <label for="reason">Why (optional)</label>
      <input id="reason" name="reason" value={fields.reason} maxlength={reasonMax} />
      <div class="buttons">
        <button type="submit">{title === 'Edit' ? 'Save' : 'Save and requeue'}</button>
        <a class="button quiet" href={`/dashboard/jobs/${job.id}`}>
          Back
        </a>
      </div>
    </form>
  )
}
