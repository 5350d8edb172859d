import type { Seen } from './seen.ts'

/** A job that somebody wonders at, built with the real system. */
export interface Situation {
  readonly name: string
  /** What is the matter, and what is right to do: for those who read what others made of it. */
  readonly cause: string
  readonly action: string
  /** What the first sentences, and the advice, must say of that. */
  readonly says: RegExp
  readonly advises: RegExp
  /** Whether its store needs a thread: this one or the file is blocked meanwhile, or the thread ends before its time. */
  readonly onThreads?: true
  readonly build: () => Promise<Seen>
}
