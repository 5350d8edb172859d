const headEnd = '\r\n\r\n'

/** Counts the answers in what one connection sends, by status and Content-Length alone: a client that does more would be measured too. */
export class AnswerReader {
  readonly #status: number
  /** The beginning of a head that has not come whole. */
  #head: Buffer | null = null
  /** What of a body has not come yet. */
  #bodyLeft = 0

  /** `status`: that every answer must have. */
  constructor(status: number) {
    this.#status = status
  }

  /** Takes what came, in whatever pieces; gives how many answers are whole by it. Throws where one is not as it must be. */
  take(chunk: Buffer): number {
    let whole = 0
    let at = 0
    while (at < chunk.length) {
      if (this.#bodyLeft === 0) {
        const head = this.#head ? Buffer.concat([this.#head, chunk.subarray(at)]) : chunk.subarray(at)
        const end = head.indexOf(headEnd)
        if (end < 0) {
          this.#head = head
          return whole
        }
        this.#bodyLeft = this.#bodyLength(head.toString('latin1', 0, end))
        at += end + headEnd.length - (this.#head?.length ?? 0)
        this.#head = null
      }
      const taken = Math.min(this.#bodyLeft, chunk.length - at)
      this.#bodyLeft -= taken
      at += taken
      if (this.#bodyLeft === 0) whole++
    }
    return whole
  }

  #bodyLength(head: string): number {
    const length = /\r\ncontent-length: ([1-9][0-9]*)/i.exec(head)?.[1]
    if (!head.startsWith(`HTTP/1.1 ${this.#status} `) || length === undefined) {
      throw new Error(`this answer is no ${this.#status} with a body of known length: ${head}`)
    }
    return Number(length)
  }
}
