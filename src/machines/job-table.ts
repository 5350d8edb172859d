import { compileJobMachine } from './compile.ts'

/**
 * The compiled job machine. The build puts what the call gives in its place (`scripts/compile-machine.js`): XState is not loaded, nor asked
 * anew, by each process and thread that only looks up.
 */
export const jobTable: ReturnType<typeof compileJobMachine> = compileJobMachine()
