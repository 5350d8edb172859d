import { compileJobMachine } from './compile.ts'

/**
 * The compiled job machine. The build replaces the call by its result (`scripts/compile-machine.js`), so that processes and threads that
 * only look up edges need not load XState or ask it again.
 */
export const jobTable: ReturnType<typeof compileJobMachine> = compileJobMachine()
