import { askingHttp } from '../http-load.ts'

/** How many requests a second, of 100 jobs each? */
export const httpBulk = askingHttp({
  name: 'http_bulk',
  path: '/jobs',
  jobs: 100,
  about: 'POST /jobs with 100 small jobs',
})
