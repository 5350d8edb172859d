import type { MixedJob } from '../mixed.ts'

/** The environment of a peer. */
export interface Place {
  /** Its own empty folder, on the measured disk. */
  readonly folder: string
  /** The port of the server that was started for this one measurement, on 127.0.0.1, if the peer needs one. */
  readonly port?: number
  /** Its variant, as the catalogue names it. */
  readonly variant: string
}

/** The settings of a peer. */
export interface PeerOptions {
  /** Jobs that may run at once. */
  readonly workers: number
  /** To be called as the first line of the handler; with the attempt, if the peer can repeat one that fails after some milliseconds. */
  readonly onRun: (message: string, run?: { readonly attempt: number }) => void
}

/** A job system as a measurement sees it. It is never closed: the process that holds it ends. */
export interface Peer {
  /** Resolves when the job is acknowledged. */
  enqueue(message: string): Promise<void>
  /** The same for many in one call; left out if the peer has no such call. */
  enqueueMany?(messages: readonly string[]): Promise<void>
  /** Jobs of the mixed workload, with those of their fields that the peer knows; left out if it is not compared by that. */
  enqueueMixed?(jobs: readonly MixedJob[]): Promise<void>
  /** Nothing runs before this. */
  start(): Promise<void>
  /** How many jobs the peer itself counts as unfinished. */
  left(): Promise<number>
  /** Processor time that its server has used, in µs; left out if there is none, or it is not known. */
  serverCpu?(): Promise<number>
}

/** The export of a peer's file. `place` is empty at first. */
export type OpenPeer = (place: Place, options: PeerOptions) => Promise<Peer>
