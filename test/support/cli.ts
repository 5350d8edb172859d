import { built } from './built.ts'

/** How a command ended, and what it wrote. */
export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Thrown by `process.exit` while a command runs here. */
class Exit extends Error {}

let commands = 0

/**
 * Runs `jobmachine` with these arguments in the test's process: its modules are loaded already, and loading them in another takes 0.4 s of
 * processor time. For tests of what a command prints and how it ends; if the process itself is the subject, start one. Run one at a time.
 */
export async function runCommand(
  args: readonly string[],
  { env = {}, folder = process.cwd() }: { readonly env?: Record<string, string>; readonly folder?: string } = {},
): Promise<CommandResult> {
  const said = { stdout: '', stderr: '' }
  const undo = [
    replace(process, 'argv', [process.execPath, built('main.js'), ...args]),
    replace(process, 'env', { PATH: process.env.PATH ?? '', ...env }),
    replace(process, 'exitCode', undefined),
    replace(process, 'exit', (code?: number) => {
      process.exitCode ??= code
      throw new Exit()
    }),
    ...(['stdout', 'stderr'] as const).flatMap((name) => [
      replace(process[name], 'write', (text: string) => {
        said[name] += text
        return true
      }),
      keepListeners(process[name]),
    ]),
    keepListeners(process),
    enter(folder),
  ]
  try {
    await runMain()
    return { code: Number(process.exitCode ?? 0), ...said }
  } finally {
    for (const each of undo.reverse()) each()
  }
}

async function runMain(): Promise<void> {
  try {
    // Under a new name it runs again each time, while its imports are already loaded.
    await import(/* @vite-ignore */ `${built('main.js')}?command=${++commands}`)
  } catch (error) {
    if (!(error instanceof Exit)) throw error
  }
}

function replace<T extends object>(target: T, name: keyof T, value: unknown): () => void {
  const isOwn = Object.hasOwn(target, name)
  const before = target[name]
  target[name] = value as never
  return () => {
    if (isOwn) target[name] = before
    else delete target[name]
  }
}

/** Removes the listeners that are added meanwhile. */
function keepListeners(emitter: NodeJS.EventEmitter): () => void {
  const before = new Map(emitter.eventNames().map((name) => [name, emitter.rawListeners(name)]))
  return () => {
    for (const name of emitter.eventNames()) {
      const kept = before.get(name) ?? []
      for (const listener of emitter.rawListeners(name)) {
        if (!kept.includes(listener)) emitter.removeListener(name, listener as () => void)
      }
    }
  }
}

function enter(folder: string): () => void {
  const before = process.cwd()
  process.chdir(folder)
  return () => process.chdir(before)
}
