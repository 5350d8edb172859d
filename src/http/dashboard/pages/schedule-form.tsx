import type { Child } from 'hono/jsx'
import type { SchedulePreview } from '../../../engine/front-door.ts'
import type { InputIssue } from '../../../errors.ts'
import { page } from './page.tsx'
import { fieldOfPath, intervalUnits, type ScheduleFieldName, type ScheduleFields } from './schedule-fields.ts'
import { Ticks } from './schedule-ticks.tsx'
import { missedTexts, overlapTexts } from './schedule-words.ts'
import { Text } from './text.tsx'

export interface FormProps {
  /** The schedule that is edited; null for a new one. */
  readonly edited: string | null
  readonly fields: ScheduleFields
  /** The fingerprint of the schedule that the user began to edit. */
  readonly was: string
  /** Why it was not accepted. */
  readonly faults: readonly InputIssue[]
  /** Of accepted fields: what they mean. */
  readonly preview: SchedulePreview | null
  readonly types: readonly string[]
  readonly now: number
}

/** The form of a schedule. Nothing is saved before its next ticks were shown, and what is saved is what they were shown for. */
export function scheduleFormPage(props: FormProps, status: number): Response {
  const { edited, faults, preview, fields, was, now } = props
  const title = edited === null ? 'New schedule' : `Edit ${edited}`
  const action = edited === null ? '/dashboard/new-schedule' : `/dashboard/schedules/${edited}/edit`
  const children = (
    <>
      {preview && (
        <section class="card" aria-labelledby="preview">
          <h2 id="preview">It would tick</h2>
          <Ticks preview={preview} zone={fields.all.zone || 'UTC'} now={now} />
          <form method="post" action={action} class="head">
            <input type="hidden" name="do" value="save" />
            <input type="hidden" name="was" value={was} />
            {Object.entries(fields.all).map(([name, value]) => (
              <input type="hidden" name={name} value={value} />
            ))}
            <button type="submit">Save</button>
            <span class="muted">Nothing is saved yet.</span>
          </form>
        </section>
      )}
      <section class="card" aria-labelledby="form">
        <h1 id="form">{title}</h1>
        {faults.length > 0 && <Faults faults={faults} />}
        <form method="post" action={action} class="fields">
          <input type="hidden" name="was" value={was} />
          <Timing {...props} />
          <JobFields {...props} />
          <Policies {...props} />
          <div class="head">
            <button type="submit" class={preview ? 'quiet' : undefined}>
              Preview
            </button>
            <a class="button quiet" href={`/dashboard/schedules${edited === null ? '' : `/${edited}`}`}>
              Cancel
            </a>
          </div>
        </form>
      </section>
    </>
  )
  return page({ title, section: '/dashboard/schedules', children }, { status })
}

/** How many faults there are, and those that belong to no field. */
function Faults({ faults }: { readonly faults: readonly InputIssue[] }) {
  const others = faults.filter(({ path }) => fieldOfPath(path) === null)
  const shown = faults.length - others.length
  return (
    <div class="error" role="alert" id="faults">
      {shown > 0 && <p>{shown === 1 ? '1 fault is' : `${shown} faults are`} named beside the fields.</p>}
      {others.map(({ path, message }) => (
        <p>
          <Text of={`${path}${path && ' '}${message}`} />
        </p>
      ))}
    </div>
  )
}

function Timing({ edited, fields: { all }, faults }: FormProps) {
  return (
    <fieldset>
      <legend>When</legend>
      <Field name="name" label="Name" faults={faults} hint="Letters, digits and . _ : - ; it identifies the schedule.">
        <Input name="name" all={all} faults={faults} readonly={edited !== null} />
      </Field>
      <Field
        name="cron"
        label="Cron expression"
        faults={faults}
        hint="Such as 30 2 * * * or @daily. Either this or an interval."
      >
        <Input name="cron" all={all} faults={faults} />
      </Field>
      <Field
        name="every"
        label="Interval"
        faults={faults}
        hint="The every_ms of the API. Counted from when it starts, otherwise from its creation."
      >
        <span class="pair">
          <Input name="every" all={all} faults={faults} inputmode="decimal" />
          <select name="every_unit" aria-label="Unit of the interval">
            {Object.keys(intervalUnits).map((unit) => (
              <option value={unit} selected={unit === all.every_unit}>
                {unit}
              </option>
            ))}
          </select>
        </span>
      </Field>
      <Field
        name="zone"
        label="Time zone"
        faults={faults}
        hint="Such as Europe/Berlin; it decides what the expression means."
      >
        <Input name="zone" all={all} faults={faults} />
      </Field>
      <Field name="starts_at" label="Starts (UTC)" faults={faults}>
        <Input name="starts_at" all={all} faults={faults} type="datetime-local" />
      </Field>
      <Field name="ends_at" label="Ends (UTC)" faults={faults}>
        <Input name="ends_at" all={all} faults={faults} type="datetime-local" />
      </Field>
    </fieldset>
  )
}

function JobFields({ fields: { all }, faults, types }: FormProps) {
  return (
    <fieldset>
      <legend>The job of each tick</legend>
      <Field name="type" label="Type" faults={faults}>
        <Input name="type" all={all} faults={faults} list="types" />
      </Field>
      <datalist id="types">
        {types.map((type) => (
          <option value={type} />
        ))}
      </datalist>
      <Field name="payload" label="Payload (JSON)" faults={faults} isWide>
        <TextArea name="payload" all={all} faults={faults} rows={6} />
      </Field>
      <Field name="queue" label="Queue" faults={faults}>
        <Input name="queue" all={all} faults={faults} placeholder="default" />
      </Field>
      <Field name="priority" label="Priority" faults={faults} hint="−100 to 100.">
        <Input name="priority" all={all} faults={faults} placeholder="0" />
      </Field>
      <Field name="max_retries" label="Retries" faults={faults} hint="Empty: as its handler says, else 3.">
        <Input name="max_retries" all={all} faults={faults} inputmode="numeric" />
      </Field>
      <Field name="timeout_ms" label="Timeout of an attempt (ms)" faults={faults}>
        <Input name="timeout_ms" all={all} faults={faults} inputmode="numeric" />
      </Field>
      <Field
        name="more"
        label="Other fields (JSON)"
        faults={faults}
        hint={'Such as {"unique": {"key": "nightly"}}, as in POST /jobs.'}
        isWide
      >
        <TextArea name="more" all={all} faults={faults} rows={2} />
      </Field>
    </fieldset>
  )
}

function Policies({ fields: { all }, faults }: FormProps) {
  return (
    <fieldset>
      <legend>If something is in the way</legend>
      <Field name="overlap" label="If the last job has not ended" faults={faults} isWide>
        <Select name="overlap" all={all} faults={faults} options={overlapTexts} />
      </Field>
      <Field name="missed" label="If ticks were missed" faults={faults} isWide>
        <Select name="missed" all={all} faults={faults} options={missedTexts} />
      </Field>
      <Field name="jitter_ms" label="Jitter (ms)" faults={faults} hint="Each job waits up to so long after its tick.">
        <Input name="jitter_ms" all={all} faults={faults} inputmode="numeric" placeholder="0" />
      </Field>
    </fieldset>
  )
}

interface FieldProps {
  readonly name: ScheduleFieldName
  readonly label: string
  readonly faults: readonly InputIssue[]
  readonly hint?: string
  /** It takes a whole line. */
  readonly isWide?: boolean
  readonly children?: Child
}

/** A label, its control, and what is wrong with its value. */
function Field({ name, label, faults, hint, isWide = false, children }: FieldProps) {
  const texts = faultsOf(name, faults)
  return (
    <div class={isWide ? 'wide' : undefined}>
      <label for={name}>{label}</label>
      {children}
      {texts.length > 0 && (
        <span class="error" id={`${name}-fault`}>
          {texts.map((text) => (
            <div>
              <Text of={text} />
            </div>
          ))}
        </span>
      )}
      {hint && (
        <span class="muted" id={`${name}-hint`}>
          {hint}
        </span>
      )}
    </div>
  )
}

function faultsOf(name: ScheduleFieldName, faults: readonly InputIssue[]): string[] {
  return faults.flatMap(({ path, message }) => {
    const at = fieldOfPath(path)
    return at?.field === name ? [`${at.within}${at.within && ' '}${message}`] : []
  })
}

interface ControlProps {
  readonly name: ScheduleFieldName
  readonly all: ScheduleFields['all']
  readonly faults: readonly InputIssue[]
}

/** The attributes that tell screen readers what is wrong. */
function ariaOf(name: ScheduleFieldName, faults: readonly InputIssue[]) {
  const isWrong = faultsOf(name, faults).length > 0
  return isWrong ? { 'aria-invalid': 'true' as const, 'aria-describedby': `${name}-fault` } : {}
}

interface InputProps extends ControlProps {
  readonly type?: string
  readonly list?: string
  readonly placeholder?: string
  readonly readonly?: boolean
  readonly inputmode?: 'decimal' | 'numeric'
}

function Input({ name, all, faults, type = 'text', ...attributes }: InputProps) {
  const step = type === 'datetime-local' ? (all[name].includes('.') ? 'any' : 1) : undefined
  const aria = ariaOf(name, faults)
  return <input id={name} name={name} type={type} value={all[name]} step={step} {...attributes} {...aria} />
}

function TextArea({ name, all, faults, rows }: ControlProps & { readonly rows: number }) {
  return (
    <textarea id={name} name={name} rows={rows} spellcheck={false} dir="ltr" {...ariaOf(name, faults)}>
      {all[name]}
    </textarea>
  )
}

function Select({ name, all, faults, options }: ControlProps & { readonly options: Readonly<Record<string, string>> }) {
  return (
    <select id={name} name={name} {...ariaOf(name, faults)}>
      {Object.entries(options).map(([value, text]) => (
        <option value={value} selected={value === all[name]}>
          {text}
        </option>
      ))}
    </select>
  )
}
