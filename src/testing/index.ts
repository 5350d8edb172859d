/** `jobmachine/testing`: for the tests of the library's users. */
export { everyPath, type Path, type PathsOptions } from './every-path.ts'
export type { Step } from './interruptions.ts'
export { runHandler } from './run-handler.ts'
export { TestClock } from './test-clock.ts'
export { type CrashPoint, createTestSystem, type TestSystem, type TestSystemOptions } from './test-system.ts'
