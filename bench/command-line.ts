/** Thrown if the command line is invalid; its message is for the user. */
export class UsageError extends Error {}

/** How often each figure is measured. */
export function runsOf(text: string, usage: string): number {
  if (!/^[1-9][0-9]?$/.test(text)) throw new UsageError(`--runs takes a number from 1 to 99\n${usage}`)
  return Number(text)
}

/** The given names, separated by commas; null if the option was not given. */
export function namesOf(
  given: readonly string[] | undefined,
  known: readonly string[],
  what: string,
  usage: string,
): ReadonlySet<string> | null {
  if (!given) return null
  const names = given.flatMap((list) => list.split(','))
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new UsageError(`${JSON.stringify(unknown)} is no ${what}\n${usage}`)
  return new Set(names)
}

/** Reports an error and sets the exit code: 2 for an invalid command line, else 1. */
export function fail(error: unknown): void {
  const misused = error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')
  console.error(misused ? (error as Error).message : error)
  process.exitCode = misused ? 2 : 1
}
