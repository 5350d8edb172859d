import { compileScheduleMachine } from './compile.ts'

/** The compiled machine of a schedule; the build replaces the call with its result, as for `jobTable`. */
export const scheduleTable: ReturnType<typeof compileScheduleMachine> = compileScheduleMachine()
