import { askingHttp } from '../http-load.ts'

/** How many jobs per second can be created by one request each? */
export const httpCreate = askingHttp({
  name: 'http_create',
  path: '/createJob',
  jobs: 1,
  about: 'POST /createJob with one small job',
})
