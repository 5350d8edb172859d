/** A set of integers that uses a bit for each if they are close together. */
export class IdSet {
  static readonly #spanBits = 65_536
  readonly #spans = new Map<number, Uint8Array>()

  add(id: number): void {
    const key = Math.floor(id / IdSet.#spanBits)
    let span = this.#spans.get(key)
    if (!span) {
      span = new Uint8Array(IdSet.#spanBits / 8)
      this.#spans.set(key, span)
    }
    const bit = id - key * IdSet.#spanBits
    span[bit >> 3]! |= 1 << (bit & 7)
  }

  has(id: number): boolean {
    const key = Math.floor(id / IdSet.#spanBits)
    const bit = id - key * IdSet.#spanBits
    return ((this.#spans.get(key)?.[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0
  }
}
