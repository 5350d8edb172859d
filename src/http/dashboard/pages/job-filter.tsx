import { type JobFilter, jobStates } from '../../../engine/front-door.ts'
import { InvalidInputError } from '../../../errors.ts'

const names = ['state', 'type', 'queue', 'text', 'created_from', 'created_to'] as const
/** The filter as its form has it: text, empty if nothing is asked; instants in UTC, as the browser's field writes them. */
export type FilterFields = Readonly<Record<(typeof names)[number], string>>

export function fieldsOf(form: URLSearchParams): FilterFields {
  return Object.fromEntries(names.map((name) => [name, (form.get(name) ?? '').trim()])) as FilterFields
}

/** Those in which something is asked. */
export function givenFields(fields: FilterFields): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''))
}

/** Throws `InvalidInputError` if a field is not what it takes; what the system checks itself is left to it. */
export function toFilter(fields: FilterFields): Omit<JobFilter, 'limit' | 'cursor'> {
  const { state, type, queue, text } = fields
  const known = jobStates.find((name) => name === state)
  if (state !== '' && !known) {
    throw new InvalidInputError([{ path: 'state', message: `must be one of: ${jobStates.join(', ')}` }])
  }
  const createdFrom = instantOf(fields, 'created_from')
  const createdTo = instantOf(fields, 'created_to')
  return {
    ...(known ? { state: known } : {}),
    ...(type ? { type } : {}),
    ...(queue ? { queue } : {}),
    ...(text ? { text } : {}),
    ...(createdFrom === null ? {} : { createdFrom }),
    ...(createdTo === null ? {} : { createdTo }),
  }
}

/** The other way: what the form's fields are for a filter. */
export function fieldsOfFilter({ createdFrom, createdTo, ...words }: JobFilter): Record<string, string> {
  const field = (at: number) => new Date(at).toISOString().slice(0, -1)
  return {
    ...(words as Record<string, string>),
    ...(createdFrom === undefined ? {} : { created_from: field(createdFrom) }),
    ...(createdTo === undefined ? {} : { created_to: field(createdTo) }),
  }
}

function instantOf(fields: FilterFields, name: 'created_from' | 'created_to'): number | null {
  if (fields[name] === '') return null
  const at = Date.parse(`${fields[name]}Z`)
  if (Number.isNaN(at)) throw new InvalidInputError([{ path: name, message: 'must be a date and a time, in UTC' }])
  return at
}

/** The form; it asks by GET, so that what it finds has an address. */
export function FilterForm({ asked, types }: { readonly asked: FilterFields; readonly types: readonly string[] }) {
  return (
    <search>
      <form class="filter" method="get" action="/dashboard/jobs" id="filter" data-own>
        <div>
          <label for="state">State</label>
          <select id="state" name="state">
            <option value="">any</option>
            {jobStates.map((state) => (
              <option value={state} selected={state === asked.state}>
                {state}
              </option>
            ))}
          </select>
        </div>
        <Field name="type" label="Type" value={asked.type} list="types" />
        <datalist id="types">
          {types.map((type) => (
            <option value={type} />
          ))}
        </datalist>
        <Field name="queue" label="Queue" value={asked.queue} />
        <Field name="text" label="Text in payload or error" value={asked.text} type="search" />
        <Field name="created_from" label="Created from (UTC)" value={asked.created_from} type="datetime-local" />
        <Field name="created_to" label="Created before (UTC)" value={asked.created_to} type="datetime-local" />
        <div class="buttons">
          <button type="submit">Find</button>
          <a class="button quiet" href="/dashboard/jobs">
            Clear
          </a>
        </div>
      </form>
    </search>
  )
}

interface FieldProps {
  readonly name: keyof FilterFields
  readonly label: string
  readonly value: string
  readonly type?: string
  readonly list?: string
}

function Field({ name, label, value, type = 'text', list }: FieldProps) {
  const step = type === 'datetime-local' ? 1 : undefined
  return (
    <div>
      <label for={name}>{label}</label>
      <input id={name} name={name} type={type} value={value} list={list} step={step} />
    </div>
  )
}

/** What is asked, for a form that does something with it. */
export function HiddenFields({ asked }: { readonly asked: FilterFields }) {
  return (
    <>
      {Object.entries(givenFields(asked)).map(([name, value]) => (
        <input type="hidden" name={name} value={value} />
      ))}
    </>
  )
}
