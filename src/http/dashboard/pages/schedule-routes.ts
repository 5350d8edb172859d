import type { Context } from 'hono'
import { type JobSystem, type ScheduleInfo, scheduleEventsFrom } from '../../../engine/front-door.ts'
import { type InputIssue, InvalidInputError, ScheduleNotFoundError, ScheduleStateError } from '../../../errors.ts'
import { callerOf, type Env, queryOf } from '../../request.ts'
import type { Route } from '../../routes/route.ts'
import { nameOf } from '../../routes/schedules.ts'
import { allowedTo } from './allowed.ts'
import { seeOther } from './page.tsx'
import { schedulePage } from './schedule.tsx'
import { scheduleCommands } from './schedule-actions.tsx'
import { ScheduleFields } from './schedule-fields.ts'
import { type FormProps, scheduleFormPage } from './schedule-form.tsx'
import { schedulesPage } from './schedules.tsx'

const changed: InputIssue = {
  path: '',
  message: 'The schedule was edited since this form was shown. Here it is as it is now.',
}

/** The pages of schedules, and the actions of their forms. `hidesPayloads`: payloads that are shown must not be saved again. */
export function scheduleRoutes(system: JobSystem, now: () => number, hidesPayloads: boolean): readonly Route[] {
  const pathOf = (name: string) => `/dashboard/schedules/${name}`
  const show = (form: Pick<FormProps, 'edited' | 'fields' | 'was'> & Partial<FormProps>, status = 200) =>
    scheduleFormPage({ faults: [], preview: null, types: system.types, now: now(), ...form }, status)
  const commandRoutes = scheduleCommands.map((command): Route => {
    return {
      method: 'POST',
      path: `/dashboard/schedules/:name/${command}`,
      role: 'operate',
      takes: 'form',
      async handle(_, c, form) {
        const name = nameOf(c)
        await system.schedules[command](name, callerOf(c, 'dashboard', { reason: form.get('reason') }))
        return seeOther(pathOf(name))
      },
    }
  })
  /** Checks the form, and shows it again with its faults or with its next ticks; saves it if that was asked for. */
  async function submitted(c: Context<Env>, form: URLSearchParams, kept: ScheduleFields | null): Promise<Response> {
    const edited = kept?.all.name ?? null
    const was = kept?.fingerprint ?? ''
    if (kept && form.get('was') !== was) return show({ edited, fields: kept, was, faults: [changed] }, 409)
    const fields = new ScheduleFields(form)
    const { body: given, faults } = fields.toBody()
    const body = edited === null ? given : { ...given, name: edited }
    try {
      const preview = await checked(system, body, faults, edited)
      if (form.get('do') !== 'save') return show({ edited, fields, was, preview })
      const { name } = await system.schedules.submit(body, callerOf(c, 'dashboard'))
      return seeOther(pathOf(name))
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error
      return show({ edited, fields, was, faults: error.issues }, 400)
    }
  }
  const fieldsToEdit = async (c: Context<Env>): Promise<ScheduleFields> => {
    const schedule = await system.schedules.find(nameOf(c))
    if (!schedule) throw new ScheduleNotFoundError(nameOf(c))
    assertEditable(schedule, hidesPayloads)
    return ScheduleFields.of(schedule)
  }
  return [
    {
      method: 'GET',
      path: '/dashboard/schedules',
      limit: 'list',
      handle: (_, c) => schedulesPage(system, queryOf(c), allowedTo(system, c), now),
    },
    {
      method: 'GET',
      path: '/dashboard/schedules/:name',
      limit: 'list',
      handle: (_, c) => schedulePage(system, nameOf(c), queryOf(c), allowedTo(system, c), now),
    },
    // Not below the list, because a schedule may have any name.
    {
      method: 'GET',
      path: '/dashboard/new-schedule',
      limit: 'read',
      handle(_, c) {
        if (!allowedTo(system, c).command) return seeOther('/dashboard/schedules')
        return show({ edited: null, fields: ScheduleFields.empty(), was: '' })
      },
    },
    {
      method: 'POST',
      path: '/dashboard/new-schedule',
      role: 'operate',
      takes: 'form',
      handle: (_, c, form) => submitted(c, form, null),
    },
    {
      method: 'GET',
      path: '/dashboard/schedules/:name/edit',
      limit: 'read',
      async handle(_, c) {
        const fields = await fieldsToEdit(c)
        if (!allowedTo(system, c).command) return seeOther(pathOf(fields.all.name))
        return show({ edited: fields.all.name, fields, was: fields.fingerprint })
      },
    },
    {
      method: 'POST',
      path: '/dashboard/schedules/:name/edit',
      role: 'operate',
      takes: 'form',
      handle: async (_, c, form) => submitted(c, form, await fieldsToEdit(c)),
    },
    ...commandRoutes,
  ]
}

/** The next ticks. Throws `InvalidInputError` with every fault, those of the form first. */
async function checked(
  system: JobSystem,
  body: Record<string, unknown>,
  faults: readonly InputIssue[],
  edited: string | null,
) {
  const own = [...faults, ...(edited === null ? await nameFaults(system, body.name) : [])]
  try {
    const preview = await system.schedules.previewNew(body)
    if (own.length === 0) return preview
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    const said = own.map(({ path }) => path)
    const others = error.issues.filter(({ path }) => !said.some((one) => path === one || path.startsWith(`${one}.`)))
    throw new InvalidInputError([...own, ...others])
  }
  throw new InvalidInputError(own)
}

/** A new schedule must not change another one by its name. */
async function nameFaults(system: JobSystem, name: unknown): Promise<InputIssue[]> {
  const other = typeof name === 'string' ? await system.schedules.find(name) : undefined
  if (!other || scheduleEventsFrom(other.state).length === 0) return []
  return [{ path: 'name', message: 'is the name of another schedule: edit that one, or choose another name' }]
}

function assertEditable({ name, state, source }: ScheduleInfo, hidesPayloads: boolean): void {
  const refuse = (why: string) => {
    throw new ScheduleStateError(name, state, why)
  }
  if (source === 'code') refuse('is declared by the program, which does not allow edit: change it there')
  if (!scheduleEventsFrom(state).includes('edit')) refuse(`is ${state}, which does not allow edit`)
  if (hidesPayloads) refuse('cannot be edited here, because parts of its payload are hidden: use PUT /schedules/:name')
}
