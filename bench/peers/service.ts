/** A server that the runner has started. */
export interface Server {
  /** On 127.0.0.1. */
  readonly port: number
  /** Resolves when its process has ended. */
  stop(): Promise<void>
}

/** Reported instead of a figure: what is missing, and how to get it. */
export interface Missing {
  readonly missing: string
}

/** A server that the runner starts itself, so that its settings are known and nobody's data is at risk. */
export interface Installed {
  /** Name and version, for the report. */
  readonly version: readonly [name: string, version: string]
  /** Starts a new, empty one with its data in `folder`; resolves when it answers. */
  start(folder: string): Promise<Server>
}

export type Service = Installed | Missing

/** An executable that runs JavaScript. */
export type Runtime = { readonly path: string } | Missing
