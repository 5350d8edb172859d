import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * Each takes ten seconds or more. Vitest begins with the files of most lines, and these have few: begun last, they would run alone at the end,
 * while the other processes have nothing left to do.
 */
const longest = [
  'persistence/postgres-store',
  'browser/dashboard',
  'persistence/sqlite-store',
  'crash/tail',
  'crash/postgres',
  'main',
  'http/events',
  'crash/schedules',
  'cluster/cluster',
  'situations/situations',
  'crash/statements',
  'crash/failover',
  'mutation/mutations',
  'simulation/simulation',
  'soak/soak',
]

const placeOf = ({ moduleId }: TestSpecification) => {
  const place = longest.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
  return place === -1 ? longest.length : place
}

/** The order in which files of tests begin. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => placeOf(a) - placeOf(b))
  }
}
