import { askingHttp } from '../http-load.ts'

/** How many jobs a second can be created by a request each? */
export const httpCreate = askingHttp({
  name: 'http_create',
  path: '/createJob',
  jobs: 1,
  about: 'POST /createJob with one small job',
})
