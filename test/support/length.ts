const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }

/** A length such as 30s, 10m or 8h, in ms; null if it is none. */
export function lengthOf(text: string): number | null {
  const [, amount, unit] = /^(\d+)([smh])$/.exec(text) ?? []
  return amount && unit ? Number(amount) * unitMs[unit]! : null
}
