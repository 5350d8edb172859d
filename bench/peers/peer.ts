/** What a peer works with. */
export interface Place {
  /** Its own, empty, on the disk that is measured. */
  readonly folder: string
  /** Of the server started for this one measurement, on 127.0.0.1, where the peer needs one. */
  readonly port?: number
  /** Which of its variants, as the catalogue names it. */
  readonly variant: string
}

/** How a peer is to work. */
export interface PeerOptions {
  /** Jobs that may run at once. */
  readonly workers: number
  /** To be called as the first line of the handler. */
  readonly onRun: (message: string) => void
}

/** A job system as a measurement sees it. It is never closed: the process that holds it ends. */
export interface Peer {
  /** Resolves when the job is acknowledged. */
  enqueue(message: string): Promise<void>
  /** The same for many in one call; left out where the peer has no such call. */
  enqueueMany?(messages: readonly string[]): Promise<void>
  /** Nothing runs before. */
  start(): Promise<void>
  /** How many jobs are not finished in the peer's own books. */
  left(): Promise<number>
}

/** What a peer's file exports. Nothing is in `place` before. */
export type OpenPeer = (place: Place, options: PeerOptions) => Promise<Peer>
