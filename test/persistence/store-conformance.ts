import { describe } from 'vitest'
import { testAmend } from './conformance/amend.ts'
import { testCommands } from './conformance/commands.ts'
import { testEdges } from './conformance/edges.ts'
import { testEnqueue } from './conformance/enqueue.ts'
import type { Open } from './conformance/helpers.ts'
import { testHistory } from './conformance/history.ts'
import { testJobFacts } from './conformance/job-facts.ts'
import { testLeases } from './conformance/leases.ts'
import { testListing } from './conformance/listing.ts'
import { testOutcomes } from './conformance/outcomes.ts'
import { testReports } from './conformance/reports.ts'
import { testResults } from './conformance/results.ts'
import { testRetention } from './conformance/retention.ts'
import { testSchedules } from './conformance/schedules.ts'
import { testSuspects } from './conformance/suspects.ts'
import { testTraces } from './conformance/traces.ts'
import { testUnique } from './conformance/unique.ts'

/** The contract of Store. An implementation that passes is a store; one that does not is not. Each test opens a store of its own. */
export function testStore(name: string, open: Open): void {
  describe(`${name} store`, () => {
    testEdges(open)
    testEnqueue(open)
    testLeases(open)
    testOutcomes(open)
    testCommands(open)
    testAmend(open)
    testJobFacts(open)
    testSuspects(open)
    testHistory(open)
    testListing(open)
    testTraces(open)
    testReports(open)
    testRetention(open)
    testUnique(open)
    testResults(open)
    testSchedules(open)
  })
}
