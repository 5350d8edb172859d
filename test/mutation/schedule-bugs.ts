import { bug, type Mutation } from './mutation.ts'

const near = (change: string) =>
  [
    'schedule/cron-ticks.test.ts',
    `near a change of the clock, the ticks are those of a walk through every minute ${change}`,
  ] as const
const downtime = (test: string) => ['schedule/missed.test.ts', `after a downtime ${test}`] as const
const timing = (test: string) => ['schedule/ticks.test.ts', test] as const
const ticks = 'schedule/cron-ticks.js'
const missed = 'schedule/missed.js'

export const scheduleBugs: readonly Mutation[] = [
  bug('a daily job runs twice when the clock goes back', near('Europe/Berlin 2026-10-25: an hour back'), {
    file: ticks,
    find: 'shown = Math.max(shown, end);',
    replace: '',
  }),
  bug(
    'a restart between the two passes of an hour repeats the first',
    near('Antarctica/Troll 2026-10-25: two hours back'),
    { file: ticks, text: 'from >= period.start + dayMs &&', replace: '' },
  ),
  bug('a job is lost in a gap that ends on the next date', near('America/Nuuk 2026-03-29: forward over midnight'), {
    file: ticks,
    find: 'cron.nextDay(today - dayMs)',
    replace: 'cron.nextDay(today)',
  }),
  bug('an interval in a gap loses its day', near('Europe/Berlin 2026-03-29: an hour forward'), {
    file: ticks,
    find: 'return day + cron.firstTime >= from && day + cron.lastTime < to;',
    replace: 'return false;',
  }),
  bug('a date that a zone left out runs on the next', near('Pacific/Apia 2011-12-30: a date left out'), {
    file: ticks,
    find: 'if (from <= day && to >= day + dayMs) return false;',
    replace: '',
  }),
  bug(
    'a tick that is a moment late counts as missed',
    downtime('a tick at most a minute old is late and runs, with skip too'),
    {
      file: missed,
      find: 'const graceMs = 60_000',
      replace: 'const graceMs = 0',
    },
  ),
  bug(
    'after a long downtime the oldest ticks run, not the newest',
    downtime('all runs at most the newest 100, and the oldest of these tells what it stands for'),
    { file: missed, find: 'counted.slice(-runsMax)', replace: 'counted.slice(0, runsMax)' },
  ),
  bug(
    'after a downtime of more ticks than are counted the oldest run, not the newest',
    downtime('all runs the newest 100 of more than are counted'),
    {
      file: missed,
      text: 'for (let tick = last; tick !== null',
      replace: 'for (let tick = first; tick !== null',
    },
  ),
  bug(
    'a start waits for a year of ticks',
    downtime('counting stops at 10,000 and planning goes on from now: a year of * * * * *'),
    {
      file: missed,
      find: 'const countMax = 10_000',
      replace: 'const countMax = 1e9',
    },
  ),
  bug(
    'a program that writes its schedules at each start never catches up',
    timing('writing the same timing again changes nothing'),
    {
      file: 'schedule/change.js',
      find: 'if (isSame(timing, given)) return null;',
      replace: '',
    },
  ),
  bug(
    'a changed timing forgets what the old one missed',
    timing('another timing first settles what the old one owes, and owes nothing from before itself'),
    {
      file: 'schedule/change.js',
      find: 'dueTicks(ticksOf(timing, since), lastTick, now, missed)',
      replace: 'dueTicks(ticksOf(timing, since), now, now, missed)',
    },
  ),
]
