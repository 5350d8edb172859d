import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError } from '../errors.ts'
import { type AnyHandler, defineHandler } from '../handlers/define.ts'

/** How long Node may take to say where a syntax error is, in ms. */
const syntaxCheckMs = 10_000

/**
 * The handlers that the modules at `paths` export, by any name, by themselves or in an array. Other exports are the module's own business.
 * Throws `ConfigError` if a file is missing, throws, has a handler that cannot work, or has none; and if two are for one type.
 */
export async function loadHandlers(paths: readonly string[]): Promise<AnyHandler[]> {
  const found = new Map<AnyHandler, string>()
  for (const path of paths) {
    const handlers = Object.entries(await load(path)).flatMap(([name, value]) => handlersIn(value, `${path}: ${name}`))
    if (handlers.length === 0) {
      throw new ConfigError([`${path} exports no handler; write export const NAME = defineHandler({ … })`])
    }
    // One may have two names, such as its own and `default`.
    for (const [handler, name] of handlers) found.set(handler, found.get(handler) ?? name)
  }
  const handlers = [...found]
  const problems = handlers.flatMap(([{ type }, name], index) => {
    const first = handlers.slice(0, index).find(([other]) => other.type === type)
    return first ? [`${name} is a handler for the type ${JSON.stringify(type)}, and so is ${first[1]}`] : []
  })
  if (problems.length > 0) throw new ConfigError(problems)
  return [...found.keys()]
}

function handlersIn(value: unknown, name: string): [AnyHandler, string][] {
  if (Array.isArray(value)) return value.flatMap((each, index) => handlersIn(each, `${name}[${index}]`))
  // Other things have a `run`, too: an AsyncLocalStorage, a statement of better-sqlite3.
  if (typeof value !== 'object' || value === null || !('run' in value)) return []
  if (!('type' in value) && !('payload' in value)) return []
  try {
    return [[defineHandler(value as AnyHandler), name]]
  } catch (error) {
    throw new ConfigError([`${name}: ${(error as Error).message}`])
  }
}

async function load(path: string): Promise<object> {
  const file = resolve(path)
  if (!existsSync(file)) throw new ConfigError([`there is no file of handlers at ${path}`])
  const { href } = pathToFileURL(file)
  try {
    return await import(href)
  } catch (error) {
    throw new ConfigError([`the handlers in ${path} could not be loaded: ${describe(error, href)}`])
  }
}

function describe(error: unknown, href: string): string {
  if (!(error instanceof Error)) return `it threw ${String(error)}`
  if ((error as NodeJS.ErrnoException).code === 'ERR_UNKNOWN_FILE_EXTENSION' && /\.[cm]?tsx?$/.test(href)) {
    return `Node ${process.versions.node} does not run TypeScript; use Node 22.18 or later, compile it, or set NODE_OPTIONS="--import tsx"`
  }
  const at = placeIn(error.stack) ?? (error instanceof SyntaxError ? placeIn(syntaxErrorOf(href)) : undefined)
  return `${error.name}: ${error.message}${at === undefined ? '' : ` (${at})`}`
}

/** The first place in a file of the user's that a stack names. */
function placeIn(stack = ''): string | undefined {
  const [, url, position] = /(file:\/\/[^\s)]+?):(\d+(?::\d+)?)/.exec(stack) ?? []
  return url && `${relative('', fileURLToPath(url))}:${position}`
}

/** What Node prints of it, which has the line, as its stack does not. Nothing runs: modules are all parsed before one does. */
function syntaxErrorOf(href: string): string {
  const importing = ['--input-type=module', '--eval', `import ${JSON.stringify(href)}`]
  return spawnSync(process.execPath, importing, { encoding: 'utf8', timeout: syntaxCheckMs }).stderr
}
