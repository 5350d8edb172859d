import type { Bench } from './question.ts'

/** Creates what `make` makes on first use, and keeps it for every question and run of one benchmark. */
export function prepared<T>(make: (bench: Bench) => Promise<T>): (bench: Bench) => Promise<T> {
  const made = new WeakMap<Bench['scratch'], Promise<T>>()
  return (bench) => {
    const making = made.get(bench.scratch) ?? make(bench)
    made.set(bench.scratch, making)
    return making
  }
}
