import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError } from '../errors.ts'
import { type AnyHandler, defineHandler } from '../handlers/define.ts'

/** How long Node may take to say where a syntax error is, in ms. */
const syntaxCheckMs = 10_000

/**
 * The handlers that the modules at `paths` export, under any name, directly or in an array. Other exports are ignored. Throws `ConfigError`
 * if a file is missing, throws, has an invalid handler, or has none, and if two handlers are for the same type.
 */
export async function loadHandlers(paths: readonly string[]): Promise<AnyHandler[]> {
  const found = new Map<AnyHandler, string>()
  for (const path of paths) {
    const handlers = Object.entries(await load(path)).flatMap(([name, value]) => handlersIn(value, `${path}: ${name}`))
    if (handlers.length === 0) {
      throw new ConfigError([`${path} exports no handler; write export const NAME = defineHandler({ … })`])
    }
    // One handler may have two names, such as its own and `default`.
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
  // Other objects have a `run` too: an AsyncLocalStorage, a statement of better-sqlite3.
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
  if (!existsSync(file)) throw new ConfigError([`there is no handler file at ${path}`])
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
  // The other lines list the modules that required it.
  const [firstLine] = error.message.split('\n')
  return `${error.name}: ${firstLine}${at === undefined ? '' : ` (${at})`}${adviceFor(error, href)}`
}

function adviceFor(error: Error, href: string): string {
  if (!/^Cannot use import statement outside a module|^Unexpected token 'export'/.test(error.message)) return ''
  const name = href.slice(href.lastIndexOf('/') + 1).replace(/\.[cm]?([jt]s)x?$/, '.m$1')
  return `; Node takes it for CommonJS: rename it to ${decodeURI(name)}, or set "type": "module" in package.json`
}

/** One of the user's files in a line of a stack: as a URL if it is an ES module, else as a path. */
const placePattern = /^(?:\s+at (?:.* \()?)?((?:file:\/\/)?(?:\/|[A-Za-z]:\\).+?):(\d+(?::\d+)?)\)?$/
const ownFolder = resolve(import.meta.dirname, '..')

/** The first position in one of the user's own files in a stack; if there is none, the first in one of their packages. */
function placeIn(stack = ''): string | undefined {
  const places = stack.split('\n').flatMap((line) => {
    const [, name, position] = placePattern.exec(line) ?? []
    if (name === undefined) return []
    const path = name.startsWith('file:') ? fileURLToPath(name) : name
    return path.startsWith(ownFolder) ? [] : [`${relative('', path)}:${position}`]
  })
  return places.find((place) => !place.includes('node_modules')) ?? places[0]
}

/**
 * Node's message about a syntax error, which unlike the stack has the line. Nothing runs: all modules are parsed before one is evaluated.
 */
function syntaxErrorOf(href: string): string {
  const importing = ['--input-type=module', '--eval', `import ${JSON.stringify(href)}`]
  return spawnSync(process.execPath, importing, { encoding: 'utf8', timeout: syntaxCheckMs }).stderr
}
