import { besideMillion } from './backlog.ts'

/** How much of its speed is left when a million jobs are scheduled in a year? */
export const backlogScheduled = besideMillion('backlog_scheduled', 'scheduled')
