import { createRequire } from 'node:module'
import type * as OpenTelemetry from '@opentelemetry/api'
import { version } from '../../runtime/version.ts'

type Warn = (fields: object, message: string) => void

/** What is needed to create spans. */
interface Tracer {
  readonly api: typeof OpenTelemetry
  readonly tracer: OpenTelemetry.Tracer
}

/** Where each copy of `@opentelemetry/api` finds what was registered with any of them. */
const registered = Symbol.for('opentelemetry.js.api.1')
const global = globalThis as { readonly [registered]?: { readonly version?: string; readonly trace?: object } }

const untraced = 'OpenTelemetry is registered, but jobs are not traced'

/** The tracer of the provider that the process has registered. Checking costs nothing: the API is loaded only if there is one. */
export class RegisteredTracer {
  readonly #warn: Warn
  /** The last provider, and the tracer made from it; null if that failed. */
  #provider: object | undefined
  #found: Tracer | null = null

  constructor(warn: Warn) {
    this.#warn = warn
  }

  /** Null if nobody traces now: a provider may be registered and removed at any time. */
  get current(): Tracer | null {
    const provider = global[registered]?.trace
    if (provider === undefined) return null
    if (provider !== this.#provider) {
      this.#provider = provider
      this.#found = this.#load(provider)
    }
    return this.#found
  }

  /** With `require`: the package is there only if the application has it. */
  #load(provider: object): Tracer | null {
    const fields = { registered_by: global[registered]?.version }
    let api: typeof OpenTelemetry
    try {
      api = createRequire(import.meta.url)('@opentelemetry/api')
    } catch (error) {
      this.#warn(
        { ...fields, err: error },
        `${untraced}: jobmachine cannot load @opentelemetry/api; install it beside it`,
      )
      return null
    }
    if (api.trace.getTracerProvider() !== provider) {
      const reason = 'jobmachine loads a newer version of @opentelemetry/api, which cannot use it; install one for both'
      this.#warn(fields, `${untraced}: ${reason}`)
      return null
    }
    try {
      return { api, tracer: api.trace.getTracer('jobmachine', ownVersion()) }
    } catch (error) {
      this.#warn({ ...fields, err: error }, `${untraced}: its provider gives no tracer`)
      return null
    }
  }
}

/** Undefined in a bundle, which has no package.json beside it. */
function ownVersion(): string | undefined {
  try {
    return version()
  } catch {
    return undefined
  }
}
