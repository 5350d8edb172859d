import { parseArgs } from 'node:util'

interface ServeFlags {
  /** The code of the loss of jobs that a start accepts. */
  readonly acceptLoss: string | undefined
  /** Files that export handlers, in the given order. */
  readonly handlers: readonly string[]
}

const needs: Readonly<Record<string, string>> = {
  'accept-loss': 'a CODE: a start that finds jobs missing stops with an error, which names the code',
  handlers: 'a FILE that exports handlers, such as ./handlers.js',
}

/** Reads the arguments of `serve`. Returns a text if a value is missing, and null if it does not accept one of them. */
export function readServeFlags(args: readonly string[]): ServeFlags | string | null {
  const options = { 'accept-loss': { type: 'string' }, handlers: { type: 'string', multiple: true } } as const
  const { values, tokens, positionals } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const names = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []))
  const isUnknown = names.some((name) => !Object.hasOwn(options, name)) || positionals.length > 0
  if (isUnknown || names.filter((name) => name === 'accept-loss').length > 1) return null
  const missing = tokens.find((token) => token.kind === 'option' && !token.value)
  if (missing?.kind === 'option') return `--${missing.name} needs ${needs[missing.name]}`
  return { acceptLoss: values['accept-loss'] as string | undefined, handlers: (values.handlers ?? []) as string[] }
}
