import type { Settings } from '../config.ts'
import { InvalidInputError, JobNotFoundError } from '../errors.ts'
import type { Registry } from '../handlers/registry.ts'
import { causeText } from '../job/cause.ts'
import type { Naming } from '../job/fields.ts'
import { toChanges } from '../job/request.ts'
import type { JobRow } from '../job/row.ts'
import type { AmendResult, Store } from '../persistence/store.ts'
import type { CallerOptions } from './job-system.ts'

/** Whose names the changes have, who makes them, and whether the job is requeued first. */
interface AmendOptions extends Required<CallerOptions> {
  readonly naming: Naming
  readonly requeue: boolean
}

interface Parts {
  readonly settings: Settings
  readonly registry: Registry | null
  readonly store: Store
}

/** Checks what callers want to change of a job, as at its enqueue. Resolves with the job if it is as asked now, else with what refused it. */
export class Amends {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async amend(
    id: number,
    input: unknown,
    { naming, by, requeue }: AmendOptions,
  ): Promise<JobRow | Extract<AmendResult, { outcome: 'refused' }>> {
    const { store } = this.#parts
    const found = await store.find(id)
    if (!found) throw new JobNotFoundError(id)
    const changes = toChanges(input, found.type, naming, this.#parts)
    const result = await store.amend(id, changes, causeText(by), requeue)
    switch (result.outcome) {
      case 'done':
        return result.job
      case 'refused':
        return result
      case 'unknown':
        throw new JobNotFoundError(id)
      case 'spent':
        throw spent(result.attempt, naming)
    }
  }
}

function spent(attempt: number, naming: Naming): InvalidInputError {
  const path = naming === 'camelCase' ? 'maxRetries' : 'max_retries'
  const message = `must be at least ${attempt}, because attempt ${attempt} was started and one more must be left`
  return new InvalidInputError([{ path, message }])
}
