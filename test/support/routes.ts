import { createApp } from '../../src/http/app.ts'
import { EventFeed } from '../../src/http/events/event-feed.ts'
import type { Route } from '../../src/http/routes/route.ts'
import type { JobSystem } from '../../src/index.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

/** Every route there is, as the app has them. */
export const routes: readonly Route[] = createApp(
  {
    system: { payloadSchemas: {} } as JobSystem,
    log: silent,
    now: () => 0,
    apiToken: null,
    version: '',
    basePath: '',
    pages: true,
    readOnly: false,
    ownsProcess: true,
    maxRequestBytes: 1,
    maxRequestValues: 1,
    maxInFlightRequests: 1,
  },
  new EventFeed({ system: {} as JobSystem, log: silent, now: () => 0, random: () => 0 }),
).routes
