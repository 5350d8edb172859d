import { type JobFilter, jobStates } from '../../../engine/front-door.ts'
import { InvalidInputError } from '../../../errors.ts'

const names = ['state', 'type', 'queue', 'text', 'created_from', 'created_to'] as const
type Name = (typeof names)[number]

/** The filter as its form has it: text, empty if unset; instants in UTC, in the format of the browser's field. */
export class FilterFields {
  readonly all: Readonly<Record<Name, string>>

  constructor(form: URLSearchParams) {
    this.all = Object.fromEntries(names.map((name) => [name, (form.get(name) ?? '').trim()])) as Record<Name, string>
  }

  /** The fields that are set. */
  get given(): Record<string, string> {
    return Object.fromEntries(Object.entries(this.all).filter(([, value]) => value !== ''))
  }

  /** Throws `InvalidInputError` if a field is invalid; the system checks the rest. */
  toFilter(): Omit<JobFilter, 'limit' | 'cursor'> {
    const { state, type, queue, text } = this.all
    const known = jobStates.find((name) => name === state)
    if (state !== '' && !known) {
      throw new InvalidInputError([{ path: 'state', message: `must be one of: ${jobStates.join(', ')}` }])
    }
    const createdFrom = this.#instant('created_from')
    const createdTo = this.#instant('created_to')
    return {
      ...(known ? { state: known } : {}),
      ...(type ? { type } : {}),
      ...(queue ? { queue } : {}),
      ...(text ? { text } : {}),
      ...(createdFrom === null ? {} : { createdFrom }),
      ...(createdTo === null ? {} : { createdTo }),
    }
  }

  #instant(name: 'created_from' | 'created_to'): number | null {
    if (this.all[name] === '') return null
    const at = Date.parse(`${this.all[name]}Z`)
    if (Number.isNaN(at)) throw new InvalidInputError([{ path: name, message: 'must be a date and a time, in UTC' }])
    return at
  }
}

/** The form; it uses GET, so that its results have a URL. */
export function FilterForm({ asked, types }: { readonly asked: FilterFields; readonly types: readonly string[] }) {
  const { all } = asked
  return (
    <search>
      <form class="filter" method="get" action="/dashboard/jobs" id="filter" data-own>
        <div>
          <label for="state">State</label>
          <select id="state" name="state">
            <option value="">any</option>
            {jobStates.map((state) => (
              <option value={state} selected={state === all.state}>
                {state}
              </option>
            ))}
          </select>
        </div>
        <Field name="type" label="Type" value={all.type} list="types" />
        <datalist id="types">
          {types.map((type) => (
            <option value={type} />
          ))}
        </datalist>
        <Field name="queue" label="Queue" value={all.queue} />
        <Field name="text" label="Text in payload or error" value={all.text} type="search" />
        <Field name="created_from" label="Created from (UTC)" value={all.created_from} type="datetime-local" />
        <Field name="created_to" label="Created before (UTC)" value={all.created_to} type="datetime-local" />
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
  readonly name: Name
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

/** The filter, for a form that acts on it. */
export function HiddenFields({ asked }: { readonly asked: FilterFields }) {
  return (
    <>
      {Object.entries(asked.given).map(([name, value]) => (
        <input type="hidden" name={name} value={value} />
      ))}
    </>
  )
}
