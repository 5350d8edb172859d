import type { Bench } from './question.ts'

/** What `make` makes is made when it is first asked for, and kept for every question and run of one benchmark. */
export function prepared<T>(make: (bench: Bench) => Promise<T>): (bench: Bench) => Promise<T> {
  const made = new WeakMap<Bench['scratch'], Promise<T>>()
  return (bench) => {
    const making = made.get(bench.scratch) ?? make(bench)
    made.set(bench.scratch, making)
    return making
  }
}
