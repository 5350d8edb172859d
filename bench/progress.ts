/** Where nobody watches a terminal, lines come no closer than this. */
const quietMs = 2_000

/** Says on stderr what is being measured: on a terminal at once, elsewhere for what takes its time. */
export class Progress {
  readonly #terminal = process.stderr.isTTY === true
  #saidAt = performance.now()

  say(text: string): void {
    const now = performance.now()
    if (!this.#terminal && now - this.#saidAt < quietMs) return
    this.#saidAt = now
    process.stderr.write(this.#terminal ? `\r\x1b[K${text}` : `${text}\n`)
  }

  end(): void {
    if (this.#terminal) process.stderr.write('\r\x1b[K')
  }
}
