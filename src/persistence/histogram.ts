/**
 * The values of a histogram at one instant. `counts` has one entry more than `bounds`: `counts[i]` are the values up to `bounds[i]` and
 * above the previous bound, the last entry those above all bounds.
 */
export interface HistogramSnapshot {
  readonly bounds: readonly number[]
  readonly counts: readonly number[]
  readonly count: number
  readonly sum: number
}

/**
 * Counts values in fixed buckets; `observe` takes some ten nanoseconds and allocates nothing. Over `sharedMemory` one thread may write and
 * another read: what it reads may lack the newest values, and never decreases.
 */
export class Histogram {
  readonly #bounds: Float64Array
  /** The buckets, then the sum. There is no separate count, because it could not be read together with the buckets. */
  readonly #cells: Float64Array

  /** `bounds` rise; each belongs to the bucket below it. */
  constructor(bounds: readonly number[], cells: Float64Array = new Float64Array(cellCount(bounds))) {
    this.#bounds = Float64Array.from(bounds)
    this.#cells = cells
  }

  /** Memory for a histogram that two threads share. */
  static sharedMemory(bounds: readonly number[]): Float64Array {
    return new Float64Array(new SharedArrayBuffer(cellCount(bounds) * Float64Array.BYTES_PER_ELEMENT))
  }

  /** `value` must be finite and not negative. */
  observe(value: number): void {
    const bounds = this.#bounds
    let low = 0
    let high = bounds.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (value <= bounds[middle]!) high = middle
      else low = middle + 1
    }
    this.#cells[low]! += 1
    this.#cells[bounds.length + 1]! += value
  }

  snapshot(): HistogramSnapshot {
    const bounds = [...this.#bounds]
    const counts = [...this.#cells.subarray(0, bounds.length + 1)]
    return { bounds, counts, count: total(counts), sum: this.#cells[bounds.length + 1]! }
  }
}

/** The sum of histograms with the same bounds. */
export function merge(bounds: readonly number[], snapshots: readonly HistogramSnapshot[]): HistogramSnapshot {
  const counts = Array.from({ length: bounds.length + 1 }, (_, index) =>
    total(snapshots.map((snapshot) => snapshot.counts[index]!)),
  )
  return { bounds, counts, count: total(counts), sum: total(snapshots.map(({ sum }) => sum)) }
}

/** The values between two snapshots of one histogram. */
export function difference(later: HistogramSnapshot, earlier: HistogramSnapshot): HistogramSnapshot {
  const counts = later.counts.map((count, index) => count - earlier.counts[index]!)
  return { bounds: later.bounds, counts, count: later.count - earlier.count, sum: later.sum - earlier.sum }
}

/**
 * The value that a share `q` of all values does not exceed. An estimate: values are assumed to be spread evenly in their bucket, the lowest
 * bucket to start at 0, and values above all bounds to equal the last one. Null if there is no value.
 */
export function quantile({ bounds, counts, count }: HistogramSnapshot, q: number): number | null {
  if (count === 0) return null
  const rank = q * count
  let below = 0
  const bucket = counts.findIndex((n) => {
    if (n > 0 && below + n >= rank) return true
    below += n
    return false
  })
  const from = bounds[bucket - 1] ?? 0
  const to = bounds[bucket] ?? from
  return from + ((to - from) * (rank - below)) / counts[bucket]!
}

function cellCount(bounds: readonly number[]): number {
  return bounds.length + 2
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0)
}
