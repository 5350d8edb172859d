import { bug, type Mutation } from './mutation.ts'

const sqlite = (name: string) => `persistence/sqlite/${name}.js`
const conformance = (test: string) => ['persistence/sqlite-store.test.ts', `SQLite store ${test}`] as const
const suspects = conformance
const groupCommit = (test: string) => ['persistence/sqlite/group-commit.test.ts', test] as const
const faults = (test: string) => ['persistence/sqlite/faults.test.ts', test] as const
const acknowledged = 'nothing is acknowledged any more, and the store ends with the reason'
const idle = 'an idle store ends too'
const guard = (harm: string, test: string) =>
  [
    'persistence/sqlite/file-guard.test.ts',
    `once ${harm.replace(/copied$/, 'copied by this process')} ${test}`,
  ] as const
const mark = (test: string) => ['persistence/sqlite/mark.test.ts', test] as const
const refused = 'is refused, says how much, and is not changed'
const accepted = 'continues once its loss is accepted, and gives no id and no token twice'
const less = (harm: string, test: string) => mark(`a file that has less than was acknowledged , since ${harm}, ${test}`)
const watchdog = (test: string) => ['persistence/watchdog.test.ts', test] as const
const eventRuns = (test: string) => ['persistence/sqlite/event-runs.test.ts', test] as const
const retention = (test: string) => ['persistence/sqlite/retention.test.ts', `retention ${test}`] as const
const joining = (test: string) => ['persistence/sqlite/joining.test.ts', test] as const
const verify = (test: string) => ['persistence/sqlite/verify.test.ts', `verify ${test}`] as const

const uniqueKeys: readonly Mutation[] = [
  bug(
    'a unique key is never freed, and whoever waits for it waits for ever',
    conformance(
      'a job that is to run after the one that holds its unique key waits for the end of that, and goes on with it: succeed',
    ),
    {
      file: sqlite('write/transitions'),
      find: 'this.#unblock(this.uniqueKeys.free(ranges), now);',
      replace: 'this.#unblock([], now);',
    },
  ),
  bug(
    'a job that waits for another gets the key, and stays blocked',
    conformance(
      'a job that is to run after the one that holds its unique key waits for the end of that, and goes on with it: cancel',
    ),
    {
      file: sqlite('write/transitions'),
      find: 'this.#unblock(this.uniqueKeys.free(ranges), now);',
      replace: 'this.uniqueKeys.free(ranges);',
    },
  ),
  bug(
    'a unique key is free between two attempts',
    conformance('a unique key is held between attempts, after a crash too'),
    {
      file: 'persistence/sql/unique-keys.js',
      text: `(unique_jobs.until = 'started' AND jobs.started_at IS NOT NULL)`,
      replace: 'jobs.started_at IS NOT NULL',
    },
  ),
]

const durability: readonly Mutation[] = [
  bug(
    'synchronous is NORMAL',
    ['persistence/sqlite/open.test.ts', 'a commit is flushed to the disk: WAL with synchronous FULL'],
    { file: sqlite('file/connection'), find: `'synchronous = FULL'`, replace: `'synchronous = NORMAL'` },
    { file: sqlite('file/connection'), find: 'const synchronousFull = 2', replace: 'const synchronousFull = 1' },
  ),
  bug('callers are told before the commit', groupCommit('parts of one transaction are committed by one commit'), {
    file: sqlite('thread/group-commit'),
    find: `        writer.finish();
        db.exec('COMMIT');
        return results;`,
    replace: `        writer.finish();
        for (const [index, part] of parts.entries()) part.done(results[index]);
        db.exec('COMMIT');
        return results;`,
  }),
  bug(
    'a call is answered while its transaction is still open',
    groupCommit(
      'calls of a store are answered only after their commit: another connection sees the job when the promise resolves',
    ),
    {
      file: sqlite('thread/group-commit'),
      find: `        db.exec('COMMIT');`,
      replace: `        setTimeout(() => db.exec('COMMIT'), 20);`,
    },
  ),
  bug(
    'callers are told before the file is known to be the same',
    groupCommit('nobody gets an answer if the file turns out to be another one after the commit'),
    {
      file: sqlite('thread/group-commit'),
      find: `    verify();
    for (const [index, part] of parts.entries())
        part.done(results[index]);`,
      replace: `    for (const [index, part] of parts.entries())
        part.done(results[index]);
    verify();`,
    },
  ),
  bug(
    'answers are sent before the files were looked at',
    [
      'persistence/sqlite/joining.test.ts',
      'an answer is sent once the files were checked after its commit, and otherwise never',
    ],
    {
      file: sqlite('thread/store-thread'),
      find: `if (this.#isUnchecked)
            this.#guard.checkCommit();`,
      replace: `const early = this.#calls.takeReply();
        if (early)
            this.#requestPort.reply(early);
        if (this.#isUnchecked)
            this.#guard.checkCommit();`,
    },
  ),
  bug(
    'calls under way when the store ends are told that nothing was stored',
    [
      'persistence/sqlite/ended-thread.test.ts',
      'when the store ends by itself, requests under way have an unknown outcome, and later ones are not stored',
    ],
    {
      file: sqlite('store'),
      find: 'this.#rejectAll(new OutcomeUnknownError(error))',
      replace: 'this.#rejectAll(new UnavailableError(error.message))',
    },
  ),
  bug('a file that was removed is written on', guard('the database (jobs.db) was removed', acknowledged), {
    file: sqlite('file/file-guard'),
    find: 'return found !== undefined && found.dev === dev && found.ino === ino;',
    replace: 'return true;',
  }),
  bug('a log that was replaced is written on', guard('the log (jobs.db-wal) was replaced', acknowledged), {
    file: sqlite('file/file-guard'),
    find: 'return found !== undefined && found.dev === dev && found.ino === ino;',
    replace: 'return found !== undefined;',
  }),
  bug('the log is not watched', guard('the log (jobs.db-wal) was removed', acknowledged), {
    file: sqlite('file/file-guard'),
    find: 'this.#watched = [this.#database, this.#log, this.#index];',
    replace: 'this.#watched = [this.#database, this.#index];',
  }),
  bug('a lock that was dropped is believed to be held', guard('the database (jobs.db) was copied', acknowledged), {
    file: sqlite('file/file-guard'),
    find: 'if (lock && !lock.isHeld())',
    replace: 'if (false)',
  }),
  bug("the server's lock is not watched", guard("the server's lock (jobs.db-lock) was copied", idle), {
    file: sqlite('file/file-guard'),
    find: 'if (lock)',
    replace: 'if (false)',
  }),
  bug('an idle store does not look at its files', guard("the log's index (jobs.db-shm) was removed", idle), {
    file: sqlite('thread/store-thread'),
    find: `if (this.#db.open)
            this.#lookAtFiles();`,
    replace: '',
  }),
  bug(
    'a log that was cut is not missed before it is written again',
    guard('the log (jobs.db-wal) was cut', acknowledged),
    {
      file: sqlite('thread/store-thread'),
      find: 'this.#guard.checkBefore();',
      replace: '',
    },
  ),
  bug(
    'a log whose name was removed goes with the process',
    [
      'persistence/sqlite/file-guard.test.ts',
      'a log whose name is removed is moved into the database first: nothing is lost',
    ],
    {
      file: sqlite('file/file-guard'),
      find: 'this.#database.lock?.isHeld() ?? false',
      replace: 'false',
    },
  ),
  bug(
    'a log that another has taken the place of is moved into the database',
    ['persistence/sqlite/file-guard.test.ts', 'a log that was replaced by another is left alone'],
    {
      file: sqlite('file/file-guard'),
      find: '(statSync(this.#log.path, { throwIfNoEntry: false })?.size ?? 0) === 0',
      replace: 'true',
    },
  ),
  bug('the mark is not written', mark('a mark says how far the log has come, as readable text'), {
    file: sqlite('thread/store-thread'),
    find: 'this.#mark.advance(this.#writer.lastEventId, this.#writer.lastJobId)',
    replace: '{}',
  }),
  bug(
    'the mark is written before the commit',
    [
      'simulation/simulation.test.ts',
      'the whole engine under a seed breaks no invariant while things fail, and finishes everything when they recover',
    ],
    {
      file: sqlite('thread/store-thread'),
      find: 'this.#guard.checkBefore();',
      replace: 'this.#guard.checkBefore(); this.#mark.advance(this.#writer.lastEventId + 1, 0);',
    },
  ),
  bug('a file that has less than its mark says is taken', less('its log was removed', refused), {
    file: sqlite('file/wholeness'),
    find: 'mark.transitions > known.transitions',
    replace: 'false',
  }),
  bug('a file that was in use is taken without its log', less('its log, index and mark were removed', refused), {
    file: sqlite('file/wholeness'),
    find: 'if (found.logBytes > emptyLogBytes)',
    replace: 'if (true)',
  }),
  bug(
    'an acceptance accepts every loss',
    mark(
      'a file that has less than was acknowledged is refused again when it loses more: a leftover acceptance accepts no other loss',
    ),
    { file: sqlite('file/wholeness'), find: 'accepted !== acceptance', replace: 'accepted === undefined' },
  ),
  bug('after a loss the ids of jobs are given again', less('its log was cut', accepted), {
    file: sqlite('file/epochs'),
    find: 'epoch.firstJob - 1',
    replace: 'known.jobs',
  }),
  bug('after a loss the ids of transitions are given again', less('its log was cut', accepted), {
    file: sqlite('write/transitions'),
    find: 'Math.max(next, this.#firstEventId)',
    replace: 'Math.max(next, 1)',
  }),
  bug('after a loss jobs are named as before', less('its log was cut', accepted), {
    file: 'persistence/epoch.js',
    find: 'epochs.findLast',
    replace: 'epochs.find',
  }),
  bug(
    'an empty file beside a mark is a new database',
    mark('a missing or empty database does not count as new emptied, beside its mark'),
    { file: sqlite('file/wholeness'), find: 'assertNeverWas(path, found);', replace: '' },
  ),
  bug(
    'a backup has its name before it is whole',
    ['persistence/sqlite/backup.test.ts', 'a backup whose process is killed half-way leaves nothing under its name'],
    { file: sqlite('file/backup'), find: '`${target}.partial-${process.pid}-${threadId}`', replace: 'target' },
  ),
  bug(
    'a backup is not checked',
    ['persistence/sqlite/backup.test.ts', 'a backup of a file whose copy is not complete is refused'],
    { file: sqlite('file/backup'), find: 'if (faults.length > 0)', replace: 'if (false)' },
  ),
  bug(
    'writing goes on after a failed fsync',
    groupCommit(
      'nobody gets an answer if the storage fails (SQLITE_IOERR_FSYNC): nothing is tried again on that connection',
    ),
    {
      file: sqlite('file/storage-failure'),
      find: `code.startsWith('SQLITE_IOERR')`,
      replace: `code.startsWith('SQLITE_IOERR_READ')`,
    },
  ),
  bug(
    'one bad call fails all that share its commit',
    groupCommit('parts of one transaction do not fail because of one that throws: the others are stored'),
    {
      file: sqlite('thread/group-commit'),
      find: 'return commitEach(db, writer, parts, clock, verify, error);',
      replace: 'for (const part of parts) part.failed(error); return [error];',
    },
  ),
  bug(
    'a part that failed alone is told that it is stored',
    groupCommit('parts of one transaction do not fail because of one that throws: the others are stored'),
    {
      file: sqlite('thread/group-commit'),
      find: '            part.failed(error);',
      replace: '            part.done(result);',
    },
  ),
  bug(
    'what other processes have stored is not counted as waiting',
    [
      'persistence/sqlite/waiting-count.test.ts',
      'the limit on waiting jobs counts what another process has stored and cancelled since the last transaction',
    ],
    { file: sqlite('write/transitions'), find: 'next !== this.#committedNext', replace: 'false' },
  ),
  bug(
    'what a rolled back transaction had counted is kept',
    groupCommit('parts of one transaction do not fail because of one that throws: the others are stored'),
    {
      file: sqlite('write/transitions'),
      find: 'this.#taken.clear(); const next = this.#nextEvent.get() ?? 1;',
      replace: 'const next = this.#nextEvent.get() ?? 1;',
    },
  ),
  bug(
    'calls of one array and of others are not split where their commit fails',
    groupCommit('calls of a store do not fail because of one that violates a rule of the table'),
    { file: sqlite('thread/calls'), find: 'split: calls > 1 ? split : undefined', replace: 'split: undefined' },
  ),
  bug(
    'an outcome that meets a full disk is dropped',
    faults('a full disk refuses new jobs, keeps outcomes until there is space, and then continues by itself'),
    {
      file: sqlite('thread/calls'),
      find: `new Set(['apply', 'recover', 'sweep', 'noteStop'])`,
      replace: `new Set(['recover', 'sweep', 'noteStop'])`,
    },
  ),
  bug(
    'a full disk stays full for ever',
    faults('a full disk refuses new jobs, keeps outcomes until there is space, and then continues by itself'),
    {
      file: sqlite('thread/store-thread'),
      find: `const isDiskFull = errors.some((error) => storageFailure(error) === 'full');`,
      replace: `const isDiskFull = errors.some((error) => storageFailure(error) === 'full') || this.#trouble === diskFull;`,
    },
  ),
  bug(
    'a call that meets a lock is refused at once',
    [
      'persistence/sqlite/other-processes.test.ts',
      'while another process holds a write lock a call waits, and is stored when the lock is released',
    ],
    { file: sqlite('thread/calls'), find: 'performance.now() - call.since < busyTimeoutMs', replace: 'false' },
  ),
  bug(
    'a call that was refused because of a lock is stored later all the same',
    [
      'persistence/sqlite/other-processes.test.ts',
      'while another process holds a write lock for longer than 2 s, a call is refused and not stored later, an outcome waits, and health reports it',
    ],
    {
      file: sqlite('thread/calls'),
      find: 'this.#refuseAsBusy(call);',
      replace: '{ this.#refuseAsBusy(call); this.#pending.push(call); }',
    },
  ),
  bug(
    "the server's lock is not taken",
    [
      'persistence/sqlite/other-processes.test.ts',
      'the lock of a server is refused to a second server, which learns who holds it',
    ],
    { file: sqlite('file/lock'), find: `db.exec('BEGIN EXCLUSIVE')`, replace: `db.exec('BEGIN')` },
  ),
]

const leases: readonly Mutation[] = [
  bug(
    'an outcome is applied whatever lease it names',
    conformance('a lease is lost by a worker that was silent for too long, and its late outcome is refused'),
    {
      file: sqlite('write/transition-statements'),
      find: `leaseCheck === 'holder' ? ['jobs.lease_token = :lease_token'] : []`,
      replace: '[]',
    },
  ),
  bug(
    'a job that is given back goes to the end of the line',
    conformance('apply gives a released job its place in line back'),
    {
      file: 'persistence/sql/transitions.js',
      find: `hasTag(from, 'executing') && hasTag(to, 'timed')`,
      replace: `hasTag(from, 'executing')`,
    },
  ),
  bug('a lease ends a millisecond late', conformance('a lease holds until its last millisecond'), {
    file: sqlite('write/leases'),
    sql: 'lease_expires_at <= :now',
    replace: 'lease_expires_at < :now',
  }),
  bug('a lease ends a millisecond early', conformance('a lease holds until its last millisecond'), {
    file: sqlite('write/leases'),
    sql: 'lease_expires_at <= :now',
    replace: 'lease_expires_at <= :now + 1',
  }),
  bug(
    'leases expire before the live ones are renewed',
    conformance('a lease of a live worker survives any jump of the clock'),
    {
      file: sqlite('thread/maintenance'),
      find: 'const lost = this.#writer.renew(this.#held.all(), now);',
      replace: 'this.#writer.expireLeases(now); const lost = this.#writer.renew(this.#held.all(), now);',
    },
  ),
  bug(
    "an earlier attempt's late outcome ends the lease that its job has now",
    conformance('a lease outlives the late outcome of an earlier attempt of its job'),
    {
      file: sqlite('thread/held-leases'),
      find: 'if (lease?.leaseToken !== leaseToken)',
      replace: 'if (!lease)',
    },
  ),
  bug(
    'a lease is renewed for whoever holds the job now',
    [
      'system-takeover.test.ts',
      'a job that another owner took over has its signal fired here when its lease is to be renewed, and its result here is ignored',
    ],
    {
      file: sqlite('write/leases'),
      find: `'jobs.id = item.value ->> 0 AND jobs.lease_token = item.value ->> 1'`,
      replace: `'jobs.id = item.value ->> 0'`,
    },
  ),
  bug(
    'the holder is not told that a cancellation took its lease',
    conformance('a lease is taken away by a cancellation, and its holder is told'),
    { file: sqlite('thread/calls'), find: "outcome === 'done' && this.#takeAway([request.id])", replace: 'outcome' },
  ),
  bug(
    'recovery forgets jobs that were leased and not started',
    conformance('recovery queues leased and running jobs, and counts no attempt'),
    {
      file: sqlite('write/leases'),
      sql: 'WHERE ${isHeld} AND ${isValidRow} AND id > :after',
      replace: `WHERE \${isHeld} AND \${isValidRow} AND \${stateHasTag('executing')} AND id > :after`,
    },
  ),
  bug('recovery forgets jobs that ran', conformance('recovery queues leased and running jobs, and counts no attempt'), {
    file: sqlite('write/leases'),
    sql: 'WHERE ${isHeld} AND ${isValidRow} AND id > :after',
    replace: `WHERE \${isHeld} AND \${isValidRow} AND NOT \${stateHasTag('executing')} AND id > :after`,
  }),
  bug('recovery ends after its first thousand', conformance('recovery recovers all jobs, however many there are'), {
    file: sqlite('store'),
    find: 'if (step.last === null)',
    replace: 'if (true)',
  }),
  bug(
    'a suspect is claimed with others',
    suspects('a suspect, which was running at two crashes or more, runs before all other jobs, and alone'),
    {
      file: sqlite('write/suspects'),
      find: 'return { jobs: [job], aside };',
      replace: 'return { jobs: null, aside };',
    },
  ),
  bug(
    'others start while a suspect runs alone',
    suspects('a suspect, which was running at two crashes or more, runs before all other jobs, and alone'),
    { file: sqlite('write/suspects'), find: 'if (this.#runsAlone(now))', replace: 'if (false)' },
  ),
  bug(
    'a suspect runs alone to its end, however long that is',
    suspects(
      'a suspect, which was running at two crashes or more, makes way when it has run for two seconds, and no sooner',
    ),
    { file: 'persistence/exclusive.js', find: 'now >= since + exclusiveMs', replace: 'false' },
  ),
  bug(
    'a suspect of three crashes runs alone for two seconds',
    suspects(
      'a suspect, which was running at two crashes or more, with three crashes makes others wait however long it runs',
    ),
    {
      file: 'persistence/exclusive.js',
      find: '!toItsEnd && (now < since || now >= since + exclusiveMs)',
      replace: '(now < since || now >= since + exclusiveMs)',
    },
  ),
  bug(
    'the suspect with the fewest crashes goes first',
    suspects(
      'a suspect, which was running at two crashes or more, runs sooner the more crashes it has, and with three of them runs alone to its end',
    ),
    { file: sqlite('write/suspects'), find: 'orderBy(suspectOrder)', replace: `'crashes, id DESC'` },
  ),
  bug(
    'nobody is woken when the time of a suspect is over',
    suspects('a suspect, which was running at two crashes or more, wakes waiting leases when its time is over'),
    {
      file: sqlite('thread/store-thread'),
      find: 'if (exclusiveUntil !== null && exclusiveUntil <= now)',
      replace: 'if (false)',
    },
    { file: sqlite('thread/store-thread'), find: '++this.#ticks % fallbackTicks === 0', replace: 'false' },
  ),
  bug(
    'a suspect that was given back is an ordinary job',
    suspects(
      'a suspect, which was running at two crashes or more, that was given back stays one, and runs first again',
    ),
    { file: sqlite('write/writer'), find: `if (event === 'release')`, replace: 'if (false)' },
    {
      file: sqlite('write/suspects'),
      find: 'return { jobs: [job], aside };',
      replace: 'this.#possible = false; return { jobs: [job], aside };',
    },
  ),
  bug(
    'a suspect is not one for the next process',
    suspects('a suspect, which was running at two crashes or more, is still one after a restart'),
    { file: sqlite('write/suspects'), find: '    #possible = true;', replace: '    #possible = false;' },
  ),
  bug(
    'suspects that nobody here runs hold up the others',
    suspects(
      'a suspect, which was running at two crashes or more, whose type has no handler here is set aside, which is reported, and delays nobody',
    ),
    {
      file: sqlite('write/suspects'),
      find: 'return { jobs: this.#possible ? [] : null, aside };',
      replace: 'return { jobs: [], aside };',
    },
  ),
  bug(
    'what was put aside comes back as an ordinary job',
    suspects(
      'a suspect, which was running at two crashes or more, whose type has no handler here is set aside, which is reported, and delays nobody',
    ),
    {
      file: sqlite('write/claims'),
      sql: 'parked = iif(crashes >= ${suspectCrashes}, ${parkedAs.suspect}, 0)',
      replace: 'parked = 0',
    },
  ),
  bug(
    'suspects are not put aside',
    suspects('a suspect, which was running at two crashes or more, runs before all other jobs, and alone'),
    {
      file: sqlite('write/transition-statements'),
      find: `return byEdge(edges.at(-1).event, before, ({ to }) => hasTag(to, 'ready') ? suspect : '0');`,
      replace: `return '0';`,
    },
  ),
  bug(
    'an orphan is told that its lease ran out',
    conformance('recovery says that the process ended, however long ago'),
    {
      file: sqlite('write/writer'),
      find: 'this.#ownsLeases && this.#leases.expire(now, goOn)',
      replace: 'this.#leases.expire(now, goOn)',
    },
  ),
  bug(
    'a crash does not say what ran beside it',
    suspects(
      'a job that runs when the process ends says in its history which crash it was, and how many jobs ran beside it',
    ),
    { file: sqlite('write/leases'), find: 'this.#ranTogether = this.#sql.running.get();', replace: ';' },
  ),
  bug(
    'retention trusts a clock that has just jumped',
    [
      'persistence/sqlite/clock-watch.test.ts',
      'an ended job is kept while the clock is ahead for less than an hour, and the log says why',
    ],
    {
      file: sqlite('thread/maintenance'),
      find: 'mayDelete && (asked || this.#retentions.isDue)',
      replace: 'asked || this.#retentions.isDue',
    },
  ),
  bug('the watchdog sleeps', watchdog('a loop that stands still gets only the grace if nothing runs'), {
    file: 'persistence/watchdog.js',
    find: 'return this.#stillMs > longestTimeoutMs + restMs + graceMs ? this.#stillMs : null;',
    replace: 'return null;',
  }),
  bug(
    'the watchdog kills a process that was suspended',
    watchdog('a watchdog that was delayed itself concludes nothing from one late check, however late'),
    { file: 'persistence/watchdog.js', find: '(isLate ? 0 : sinceLast)', replace: 'sinceLast' },
  ),
]

const jobs: readonly Mutation[] = [
  bug(
    'the thread does not look when what is scheduled now is due',
    conformance('a due job is queued at its very instant'),
    {
      file: sqlite('write/transitions'),
      find: `isTagged('timed', taken.from) || isTagged('timed', taken.to)`,
      replace: 'false',
    },
  ),
  bug('a job is due a millisecond late', conformance('a due job is queued at its very instant'), {
    file: sqlite('write/writer'),
    sql: 'run_at <= :now AND ${isValidRow} ORDER BY run_at, id',
    replace: 'run_at < :now AND ${isValidRow} ORDER BY run_at, id',
  }),
  bug(
    'a job is due a millisecond early',
    conformance('a due job is queued at its instant and not before, keeping that instant'),
    { file: sqlite('write/writer'), sql: 'run_at <= :now AND', replace: 'run_at <= :now + 1 AND' },
    { file: sqlite('thread/maintenance'), find: 'this.nextDueAt <= now', replace: 'this.nextDueAt <= now + 1' },
  ),
  bug(
    'only the first thousand jobs that are due are queued',
    conformance('a due job is queued, however many there are'),
    {
      file: sqlite('write/writer'),
      sql: 'ORDER BY run_at, id LIMIT ${promoteAtOnce}',
      replace: 'AND id <= ${promoteAtOnce} ORDER BY run_at, id',
    },
  ),
  bug(
    'a run_at in the past is scheduled',
    conformance('enqueue schedules jobs whose run_at or delay is ahead, and queues those whose is not'),
    { file: 'persistence/new-jobs.js', find: 'runAtOf(job, now) > now', replace: 'runAtOf(job, now) >= now' },
  ),
  bug(
    'the good items of a refused array are stored',
    conformance('enqueue refuses a whole array if a key belongs to other content, and names its job'),
    {
      file: 'persistence/admission.js',
      find: `        if (conflict)
            return conflict;`,
      replace: `        if (conflict) {
            for (const job of jobs.slice(0, conflict.index)) this.#answer(job);
            return conflict;
        }`,
    },
  ),
  bug(
    'an idempotency key stands for any content',
    conformance('enqueue refuses a whole array if a key belongs to other content, and names its job'),
    { file: 'persistence/admission.js', find: 'known.content === job.idempotency.content', replace: 'true' },
  ),
  bug(
    'one job more may wait than may',
    conformance('enqueue refuses a whole call that would exceed the limit on waiting jobs'),
    {
      file: 'persistence/admission.js',
      find: 'waiting + fresh.length > depthMax',
      replace: 'waiting + fresh.length > depthMax + 1',
    },
  ),
  bug(
    'one job less may wait than may',
    conformance('enqueue applies the limit to calls that share a commit together'),
    {
      file: 'persistence/admission.js',
      find: 'waiting + fresh.length > depthMax',
      replace: 'waiting + fresh.length >= depthMax',
    },
  ),
  bug(
    'calls of one commit pass the bound together',
    conformance('enqueue applies the limit to calls that share a commit together'),
    { file: 'persistence/admission.js', find: 'depth + this.newJobs.length', replace: 'depth' },
  ),
  bug('the event row of a lease is not written', conformance('a queued job becomes leased on lease, attempt 0 of 1'), {
    file: sqlite('write/transitions'),
    find: 'this.#logEvent.run(id, firstJobId, length, seq, event, from, to, attempt, now, error, cause, previousId, ...lists);',
    replace: `if (event !== 'lease') this.#logEvent.run(id, firstJobId, length, seq, event, from, to, attempt, now, error, cause, previousId, ...lists);`,
  }),
  bug(
    'a move does not raise seq',
    conformance('a queued job becomes leased on lease, attempt 0 of 1'),
    {
      file: 'persistence/sql/transitions.js',
      find: `const seq = \`\${job.seq} + 1\`;`,
      replace: 'const seq = job.seq;',
    },
    { file: sqlite('migrations/0014'), sql: '(NEW.seq = OLD.seq + 1', replace: '(NEW.seq >= OLD.seq' },
  ),
  bug('taken edges are not counted', conformance('counts equal the sums over the jobs'), {
    file: sqlite('write/transitions'),
    find: 'this.count(from, event, to, length);',
    replace: ';',
  }),
  bug(
    'lower priority goes first',
    conformance('lease takes higher priority first, then earlier run_at, then lower id'),
    {
      file: sqlite('write/claims'),
      sql: 'ORDER BY ${orderBy(claimOrder)} LIMIT',
      replace: 'ORDER BY priority, run_at, id LIMIT',
    },
  ),
  bug(
    'an explanation counts jobs that are claimed later',
    conformance('what the store says about a job counts the jobs that a lease takes before it, and no others'),
    {
      file: sqlite('read/job-facts'),
      find: 'conditionsBefore(claimOrder).map(countAtMost)',
      replace: `[countAtMost('priority < :priority OR id < :id')]`,
    },
  ),
  bug(
    'an explanation counts suspects in the order of other jobs',
    conformance('what the store says about a job counts the suspects that start before it, and no others'),
    {
      file: sqlite('read/job-facts'),
      find: 'conditionsBefore(suspectOrder)',
      replace: 'conditionsBefore(claimOrder)',
    },
  ),
  bug(
    'rows before another are told by the last column alone',
    [
      'persistence/sql/claim-order.test.ts',
      'the rows before one, in the order of claims, are those that ORDER BY puts before it',
    ],
    {
      file: 'persistence/sql/claim-order.js',
      find: 'order.slice(0, at)',
      replace: 'order.slice(0, 0)',
    },
  ),
  bug(
    'the first queue always goes first',
    conformance('lease lets queues take turns, job by job, whatever their names and lengths'),
    {
      file: sqlite('write/queue-turns'),
      find: 'this.#servedLast = this.#lastInTurn ?? jobs.at(-1)[3];',
      replace: ';',
    },
  ),
  bug(
    'the turns of large claims begin with the first queue',
    [
      'persistence/sqlite/queue-turns.test.ts',
      'each of many queues gets its turn within eight times as many jobs as there are queues',
    ],
    { file: sqlite('write/queue-turns'), find: 'this.#lastInTurn = queues.at(-1);', replace: `this.#lastInTurn = '';` },
  ),
  bug(
    'a large claim ends with the queues of its turns',
    [
      'persistence/sqlite/queue-turns.test.ts',
      'a large claim takes as many jobs as there are, also if all were delayed and the queues whose turn it is have too few',
    ],
    {
      file: sqlite('write/claims'),
      find: 'if (byAge && isShort(heads))',
      replace: 'if (false)',
    },
  ),
  bug(
    'jobs without a handler keep those behind them waiting',
    conformance('lease sets jobs without a handler here aside, says so, and reaches those behind them'),
    { file: sqlite('write/claims'), find: 'this.#sql.setAside.run(job[0]);', replace: ';' },
  ),
  bug(
    'retention removes dead letters',
    conformance(
      'retention by state and type keeps jobs of each state for its own time, and dead ones for ever unless it says so',
    ),
    {
      file: 'job/retention.js',
      find: `hasTag(state, 'expendable') ? this.#retentionMs : 0`,
      replace: 'this.#retentionMs',
    },
  ),
  bug(
    'anybody removes dead letters',
    [
      'persistence/sqlite/law.test.ts',
      'a manual DELETE of a dead job is accepted exactly if it ended and is not a dead letter',
    ],
    { file: sqlite('migrations/0015'), sql: `EXISTS (SELECT 1 FROM meta WHERE name = 'removable')`, replace: '1' },
  ),
  bug(
    'the law stays open after a dead job was removed',
    retention('of dead jobs opens the law for them alone, and closes it again'),
    {
      file: sqlite('write/retention'),
      find: 'if (isGuarded)\n            this.#sql.forbid.run();',
      replace: '',
    },
  ),
  bug(
    'the rule of a state holds for a type that has its own',
    conformance('retention by state and type of a type overrides that of its state, in each bound by itself'),
    {
      file: 'job/retention.js',
      find: 'this.#byType.get(type)?.[state]?.ms ?? this.#byState[state]?.ms',
      replace: 'this.#byState[state]?.ms',
    },
  ),
  bug(
    'one job more is kept of each kind than it says',
    conformance(
      'retention by state and type by number keeps the newest, whatever their age, and counts each kind for itself',
    ),
    { file: 'job/retention.js', find: 'count > quota.most', replace: 'count > quota.most + 1' },
  ),
  bug(
    'what is counted of one kind counts for all',
    conformance(
      'retention by state and type by number keeps the newest, whatever their age, and counts each kind for itself',
    ),
    { file: 'job/retention.js', find: 'this.#counts.set(quota.key, count)', replace: `this.#counts.set(state, count)` },
  ),
  bug(
    'counting begins anew in the middle of a walk',
    conformance('retention by state and type by number walks through more jobs than one step looks at'),
    {
      file: sqlite('write/retention'),
      find: 'this.#countedDownTo === null && this.#walk(now, goOn)',
      replace: '((this.#quotas = new Quotas(this.#rules)), this.#countedDownTo === null && this.#walk(now, goOn))',
    },
  ),
  bug(
    'retention removes the newest event, whose id is then used again',
    retention('never allows a job id or event id to be reused, even if the newest were removed'),
    {
      file: sqlite('write/retention'),
      find: 'lastEventId !== newest',
      replace: 'true',
    },
  ),
  bug(
    'retention leaves the history behind',
    conformance('retention removes succeeded and cancelled jobs with their history, and no others'),
    {
      file: sqlite('write/retention'),
      find: 'this.#sql.removeEvents.run(JSON.stringify(this.#rowsOf(removed)));',
      replace: '',
    },
  ),
  bug(
    'retention counts nothing',
    conformance('retention removes succeeded and cancelled jobs with their history, and no others'),
    { file: sqlite('write/retention'), find: `this.#transitions.count(state, retention, '', 1);`, replace: '' },
  ),
  bug(
    'retention removes jobs a millisecond early',
    conformance('retention keeps jobs until they ended long enough ago'),
    { file: 'job/retention.js', find: 'finishedAt <= now - ms', replace: 'finishedAt <= now - ms + 1' },
    {
      file: sqlite('write/retention'),
      find: 'const oldest = now - this.#rules.shortestMs;',
      replace: 'const oldest = now - this.#rules.shortestMs + 1;',
    },
  ),
  bug(
    'the table takes a state that is no edge',
    [
      'persistence/sqlite/law.test.ts',
      'a manual UPDATE that moves a dead job is accepted exactly if the machine has the edge',
    ],
    {
      file: sqlite('migrations/0014'),
      sql: '(NEW.seq = OLD.seq + 1 AND (',
      replace: '(NEW.seq = OLD.seq + 1 OR (',
    },
  ),
  bug(
    'the table takes any two edges in one write',
    [
      'persistence/sqlite/law.test.ts',
      'a manual UPDATE that takes a dead job along two edges in one write is accepted exactly if they are those of a claim',
    ],
    {
      file: sqlite('migrations/0014'),
      sql: `(NEW.seq = OLD.seq + 2 AND ((OLD.state = 'queued' AND (NEW.state = 'running'))))`,
      replace: '(NEW.seq = OLD.seq + 2)',
    },
  ),
  bug(
    'an amend writes no event',
    conformance('an amend changes what it names and nothing else, and keeps what was there with who changed it'),
    {
      file: sqlite('write/job-changes'),
      find: `assert.equal(this.#transitions.apply('amend', ranges, now), 1, 'a job that waits could not be changed');`,
      replace: '',
    },
  ),
  bug(
    'an amend does not keep the payload before it',
    conformance('an amend changes what it names and nothing else, and keeps what was there with who changed it'),
    {
      file: sqlite('write/job-changes'),
      text: 'iif(payload <> ${given}, payload, NULL)',
      replace: 'iif(payload <> ${given}, ${given}, NULL)',
    },
  ),
  bug(
    'a job keeps every payload that it ever had',
    conformance(
      'an amend keeps the first payload and the newest hundred before the present one, and says of the others that they are gone',
    ),
    {
      file: sqlite('write/job-changes'),
      find: 'this.#sql.forget.run({ id });',
      replace: ';',
    },
  ),
  bug(
    'the first payload of a job goes like any other',
    conformance('an amend keeps the newest payloads up to a mebibyte, and the first besides'),
    { file: 'persistence/versions.js', text: 'WHERE seq > first AND', replace: 'WHERE' },
  ),
  bug(
    'earlier payloads are not bounded in bytes',
    conformance('an amend keeps the newest payloads up to a mebibyte, and the first besides'),
    { file: 'persistence/versions.js', text: ' OR length > ${earlierMax.bytes}', replace: '' },
  ),
  bug(
    'an amend changes a job that runs',
    conformance('an amend is refused in every other state, and of a job that does not exist'),
    {
      file: sqlite('write/job-changes'),
      text: "AND ${takes('amend')} AND",
      replace: 'AND',
    },
  ),
  bug(
    'a dead job keeps the key that another gets',
    conformance(
      'the key of a dead job answers the same request with that job, and a request that replaces it with a new one',
    ),
    {
      file: sqlite('write/insert-jobs'),
      find: `this.#transitions.apply('cancel', intoRanges([{ id }], cause), now);`,
      replace: '',
    },
  ),
  bug(
    'a job that lives loses its key to another',
    conformance('the key of a dead job goes to a new job only if it is dead'),
    {
      file: 'persistence/admission.js',
      find: 'stored && replaceDead && isDead(stored.job.state)',
      replace: 'stored && replaceDead',
    },
  ),
  bug('an amend leaves a job no attempt', conformance('an amend leaves a job at least one attempt'), {
    file: sqlite('write/job-changes'),
    text: 'WHERE maxAttempts > attempt',
    replace: 'WHERE maxAttempts >= attempt',
  }),
  bug(
    'verify does not count earlier payloads',
    verify('of a job that was amended reports an earlier payload that is gone'),
    {
      file: 'persistence/verify-checks.js',
      text: `'payloads',`,
      replace: '',
    },
  ),
  bug('verify does not compare a history with its row', verify('reports a state that its history does not lead to'), {
    file: 'persistence/verify-checks.js',
    find: 'if (row[field] === end[field])',
    replace: 'if (true)',
  }),
  bug('verify does not look for events that no history leads to', verify('reports an event beside a history'), {
    file: sqlite('verify/verify'),
    find: 'this.#checkStrays(lastRunId, Math.max(lastId, lastGivenId));',
    replace: '',
  }),
  bug(
    'verify takes a link to nowhere for the beginning of a history',
    verify('reports a long history in which an event is missing, and where'),
    {
      file: sqlite('verify/verify'),
      find: 'const earlier = page.length < pageEvents ? [] : pageOf(id, oldest.previousId, oldest.id);',
      replace:
        'const earlier = page.length < pageEvents ? [] : pageOf(id, oldest.previousId, oldest.id); if (earlier.length === 0) break;',
    },
  ),
  bug('verify does not recount', verify('reports counts that do not add up'), {
    file: sqlite('verify/verify'),
    find: '() => this.#db.transaction(() => this.#checkCounts())()',
    replace: '() => {}',
  }),
]

const joins: readonly Mutation[] = [
  bug(
    'what joined a transaction that fails is not run again',
    joining(
      'a call that arrives while a transaction runs fails alone: everything that shared its transaction is stored, including earlier calls',
    ),
    {
      file: sqlite('thread/group-commit'),
      find: 'parts.push(...more());',
      replace: 'parts = [...parts, ...more()];',
    },
  ),
  bug(
    'what was there before others joined is not run again where they fail',
    groupCommit('parts that join do not fail the earlier ones: each valid one is stored'),
    {
      file: sqlite('thread/group-commit'),
      find: 'return commitEach(db, writer, parts, clock, verify, error);',
      replace: 'return commitEach(db, writer, parts.slice(1), clock, verify, error);',
    },
  ),
  bug(
    'jobs are leased before those that join are stored',
    joining('a lease is taken last, so that it includes jobs that joined'),
    {
      file: sqlite('thread/calls'),
      find: `        if (parts.length > 0)
            return parts;
        this.#leaseTaken = true;
        return this.#takeLease();`,
      replace: `        this.#leaseTaken = true;
        return [...this.#takeLease(), ...parts];`,
    },
  ),
  bug(
    'nobody looks for jobs for a lease that joined',
    joining('a lease that arrives while a transaction runs gets the jobs that it stored'),
    {
      file: sqlite('thread/calls'),
      find: `        this.#leaseTaken = true;
        return this.#takeLease();`,
      replace: `        this.#leaseTaken = true;
        this.lookForReady = false;
        return [];`,
    },
  ),
  bug(
    'nobody looks for jobs where the transaction that would have done so failed',
    joining('a lease is taken without a tick if the transaction that it would have ended fails'),
    {
      file: sqlite('thread/store-thread'),
      find: 'this.#calls.lookForReady = true;\n        let errors',
      replace: 'let errors',
    },
  ),
  bug(
    'a transaction goes on for as long as anything comes',
    joining(
      'a call that arrives while a transaction runs waits for the next transaction if there are already a thousand events',
    ),
    { file: sqlite('thread/calls'), find: 'this.#eventsTaken < joinEventsMax', replace: 'true' },
  ),
  bug(
    'a sweep is answered that was not done',
    joining(
      'a call that arrives while a transaction runs cannot request maintenance that was already chosen: a sweep is answered when it is done',
    ),
    { file: sqlite('thread/calls'), find: `joining && call.request.op === 'sweep'`, replace: 'false' },
  ),
  bug(
    'a key goes to the first job of its batch that has none',
    [
      'persistence/sqlite/batches.test.ts',
      'jobs that differ in their payloads, keys, traces and most fields share one batch',
    ],
    {
      file: sqlite('batches'),
      find: 'row.push(job.idempotency?.key ?? null, job.idempotency?.content ?? null)',
      replace: 'if (job.idempotency) row.push(job.idempotency.key, job.idempotency.content)',
    },
  ),
  bug(
    'a trace goes to the first job of its batch that has none',
    [
      'persistence/sqlite/batches.test.ts',
      'jobs that differ in their payloads, keys, traces and most fields share one batch',
    ],
    {
      file: sqlite('batches'),
      find: 'trace && [trace.traceparent, trace.tracestate]',
      replace: 'trace ? [trace.traceparent, trace.tracestate] : []',
    },
  ),
  bug(
    'an outcome that is refused notes its attempt',
    conformance('a trace is not changed by an attempt whose lease was lost'),
    { file: sqlite('write/writer'), find: 'attempts.filter(([id]) => !refusedIds.has(id))', replace: 'attempts' },
  ),
  bug(
    'retention leaves the trace of a job',
    retention('removes a bounded number in a transaction, and all in the end'),
    {
      file: sqlite('write/retention'),
      find: 'removal.run({ first, last })',
      replace: `removal.source.includes('job_traces') || removal.run({ first, last })`,
    },
  ),
  bug(
    'retention leaves the log of a job',
    conformance('a report is there after the node ended without a word, and goes with its job'),
    {
      file: sqlite('write/retention'),
      find: 'removal.run({ first, last })',
      replace: `removal.source.includes('job_logs') || removal.run({ first, last })`,
    },
  ),
  bug(
    'a worker that lost its lease reports',
    conformance('a report of a worker that lost its lease writes nothing, alone or with its outcome'),
    { file: sqlite('write/job-reports'), sql: 'id = ? AND lease_token = ?', replace: 'id = ? AND ? > 0' },
  ),
  bug(
    'a report is stored after the outcome',
    conformance('a report with an outcome is stored with it, also if that gives the attempt back'),
    {
      file: sqlite('write/writer'),
      text: 'if (reports)\n            this.#reports.store(reports, now);\n        const refused = [];',
      replace: 'const refused = [];',
    },
    {
      file: sqlite('write/writer'),
      text: 'if (attempts) {\n            const refusedIds',
      replace:
        'if (reports)\n            this.#reports.store(reports, now);\n        if (attempts) {\n            const refusedIds',
    },
  ),
  bug(
    'a log grows without a bound',
    conformance('a report has no bound of its own, but a log keeps its newest 1,000 lines'),
    {
      file: sqlite('write/job-reports'),
      find: 'this.#sql.trim.run({ id, last: end.n + count, bytes: end.bytes + bytes })',
      replace: '',
    },
  ),
  bug(
    'jobs of two callers are one batch, and the second has the cause of the first',
    conformance('the cause of an event is stored per job if jobs are stored together'),
    {
      file: sqlite('batches'),
      find: 'job.cause !== common.cause',
      replace: 'false',
    },
  ),
  bug(
    'a key that is used again is not counted',
    conformance('what the store says about a job counts how often its key was used again, and says when last'),
    { file: sqlite('write/insert-jobs'), find: 'this.#countReplays(admission.replayed, now);', replace: '' },
  ),
  bug(
    'a note of one job is kept with those stored beside it',
    conformance(
      'the cause of an event comes with what the handler noted, of each job where outcomes are stored together',
    ),
    { file: 'persistence/sql/ranges.js', find: 'range[5] === cause', replace: 'true' },
  ),
  bug(
    'a command forgets who sent it',
    conformance('the cause of an event is stored as given for a new job, a command, and a bulk action'),
    {
      file: sqlite('write/transitions'),
      find: 'this.#logEvent.run(id, firstJobId, length, seq, event, from, to, attempt, now, error, cause, previousId, ...lists);',
      replace:
        'this.#logEvent.run(id, firstJobId, length, seq, event, from, to, attempt, now, error, null, previousId, ...lists);',
    },
  ),
  bug(
    'calls that were split are not answered where the file is lost',
    joining(
      'a call that arrives while a transaction runs is answered, like each other call, if the file is found damaged while each runs alone',
    ),
    { file: sqlite('thread/calls'), find: 'if (singles)', replace: 'if (false)' },
  ),
  bug(
    'calls that are split all store the jobs of the first',
    joining(
      'a call that arrives while a transaction runs fails alone: everything that shared its transaction is stored, including earlier calls',
    ),
    { file: sqlite('batches'), find: 'jobs.slice(next - count, next)', replace: 'jobs.slice(0, count)' },
  ),
  bug(
    'calls that were gathered are all answered with the first ids',
    conformance('enqueue answers each of many calls with its own jobs'),
    { file: sqlite('store'), find: 'id: id++', replace: 'id: firstId' },
  ),
  bug(
    'calls that were gathered are all refused where there is no room for all',
    conformance('enqueue refuses, of the calls that share a commit, exactly those that do not fit'),
    {
      file: sqlite('write/insert-jobs'),
      find: 'return this.#enqueueEach(fromBatches(batches, counts), now);',
      replace: `return fromBatches(batches, counts).map(() => ({ outcome: 'full', queue: null, depth: this.#transitions.countWaiting() }));`,
    },
  ),
  bug(
    'calls that were gathered pass the bound on waiting jobs',
    conformance('enqueue refuses, of the calls that share a commit, exactly those that do not fit'),
    { file: sqlite('write/insert-jobs'), find: 'depth > this.#depthMax', replace: 'false' },
  ),
  bug(
    'one queue may have one job more than it may',
    conformance('enqueue refuses a whole call that would exceed the limit on one queue, and accepts others'),
    { file: 'persistence/queue-limit.js', find: 'depth + count > max', replace: 'depth + count > max + 1' },
  ),
  bug(
    'calls of one commit pass the bound on a queue together',
    conformance('enqueue applies the limit on a queue to calls that share a commit together'),
    { file: 'persistence/queue-limit.js', find: 'depths.set(queue, depth + count)', replace: '' },
  ),
  bug(
    'a second event of a job in one call is taken for its first',
    conformance('apply accepts the first of two equal outcomes, and refuses both if their lease is lost'),
    { file: 'persistence/sql/ranges.js', find: 'if (seen.has(event.id))', replace: 'if (false)' },
  ),
  bug(
    'jobs with gaps between their ids are one range',
    ['persistence/sql/ranges.test.ts', 'ranges stand for exactly the items that they were made from, in order'],
    { file: 'persistence/sql/ranges.js', find: 'range[1] + 1 === id', replace: 'range[1] < id' },
  ),
  bug(
    'jobs that were leased and started at once do not count as running',
    [
      'persistence/sqlite/held-leases.test.ts',
      'a held lease counts as running, for the watchdog’s report, from its start on, even if it was started with its lease',
    ],
    {
      file: sqlite('thread/held-leases'),
      find: '{ id, leaseToken, running, next: this.#lists[at] }',
      replace: '{ id, leaseToken, running: false, next: this.#lists[at] }',
    },
  ),
]

const histories: readonly Mutation[] = [
  bug("a job's newest event is not moved on", conformance('a queued job becomes leased on lease, attempt 0 of 1'), {
    file: sqlite('write/transition-statements'),
    find: 'last_event_id: eventId',
    replace: `last_event_id: 'jobs.last_event_id'`,
  }),
  bug(
    'an event does not point to the one before it',
    conformance('a queued job becomes leased on lease, attempt 0 of 1'),
    {
      file: sqlite('write/transitions'),
      find: 'this.#logEvent.run(id, firstJobId, length, seq, event, from, to, attempt, now, error, cause, previousId, ...lists);',
      replace:
        'this.#logEvent.run(id, firstJobId, length, seq, event, from, to, attempt, now, error, cause, null, ...lists);',
    },
  ),
  bug(
    "a claim's start does not point to its lease",
    ['persistence/sqlite/migration.test.ts', 'a file of version 2 continues: histories grow, and no id is reused'],
    {
      file: sqlite('write/transitions'),
      find: 'return { firstJobId, length, jobOffsets, previousId: id, previousOffsets: null, facts: [seq, attempt] };',
      replace:
        'return { firstJobId, length, jobOffsets, previousId: null, previousOffsets: null, facts: [seq, attempt] };',
    },
  ),
  bug(
    'a new job does not point to its event',
    conformance('a queued job becomes leased on lease, attempt 0 of 1'),
    { file: sqlite('write/insert-jobs'), sql: ':event_id + key', replace: ':event_id - 1 + key' },
    {
      file: sqlite('write/insert-jobs'),
      find: 'this.#insertOne(batch, state, now, event_id)',
      replace: 'this.#insertOne(batch, state, now, event_id - 1)',
    },
  ),
  bug(
    'ids of events are given that another process has used',
    [
      'persistence/sqlite/other-processes.test.ts',
      'a job that another process put into the file reaches a waiting lease within 200 ms',
    ],
    {
      file: sqlite('write/transitions'),
      find: 'this.#nextEventId = Math.max(next, this.#firstEventId)',
      replace: 'this.#nextEventId ||= Math.max(next, this.#firstEventId)',
    },
  ),
  bug(
    'a page of a long history begins where it should end',
    [
      'persistence/sqlite/histories.test.ts',
      'a long history is paged without a gap or a duplicate, whatever the size of a page',
    ],
    { file: sqlite('read/reader'), find: `eventAtOrAbove(':after + :limit')`, replace: `eventAtOrAbove(':after + 1')` },
  ),
  bug(
    'a file without its triggers is opened',
    [
      'persistence/sqlite/open.test.ts',
      'a file that cannot be used is refused with a message, and not changed: one whose trigger was dropped',
    ],
    { file: sqlite('file/accept'), find: 'if (faults.length === 0)', replace: 'if (true)' },
  ),
  bug(
    'the text of an earlier version is changed',
    ['persistence/sqlite/migration.test.ts', 'the text of a version never changes'],
    { file: sqlite('migrations/0001'), sql: 'attempt <= max_attempts', replace: 'attempt < max_attempts + 1' },
  ),
  bug(
    'the machine gets an edge that files do not know',
    ['persistence/sqlite/newest-schema.test.ts', 'the newest version is what the machine generates'],
    {
      file: 'machines/job.js',
      find: `lease: 'leased', cancel: 'cancelled'`,
      replace: `lease: 'leased', cancel: 'dead'`,
    },
  ),
  bug(
    'the migration ties each event to itself',
    [
      'persistence/sqlite/migration.test.ts',
      'a file of version 1 is migrated to the newest with every job and every event, each in its place',
    ],
    { file: sqlite('migrations/0002'), sql: 'earlier.seq < job_events.seq', replace: 'earlier.seq <= job_events.seq' },
  ),
]

const runs: readonly Mutation[] = [
  bug(
    'jobs of different pasts share a row',
    eventRuns('jobs that differ in seq or attempt share no row, whatever their order'),
    { file: sqlite('write/event-runs'), find: 'isAlone ? id : job.slice(2).join()', replace: `isAlone ? id : ''` },
  ),
  bug(
    'a row does not say which jobs are its own',
    eventRuns('jobs with gaps between their ids share a row, with how far each is from the first'),
    {
      file: sqlite('write/event-runs'),
      find: '[listOf(jobs, 0), listOf(jobs, 1)]',
      replace: '[null, listOf(jobs, 1)]',
    },
  ),
  bug(
    'a row does not say what its jobs did before',
    eventRuns('jobs that follow each other have rows by their pasts'),
    {
      file: sqlite('write/event-runs'),
      find: '[listOf(jobs, 0), listOf(jobs, 1)]',
      replace: '[listOf(jobs, 0), null]',
    },
  ),
  bug(
    'a row with lists may be of any number of jobs',
    eventRuns('a row with lists is of no more jobs than a history should read'),
    { file: sqlite('write/event-runs'), find: 'jobs.length <= listMax', replace: 'true' },
  ),
  bug(
    'a run that not all of its jobs take is logged whole',
    eventRuns('only those jobs of a run that take an event have it in their history'),
    { file: sqlite('write/transitions'), find: 'if (count !== length)', replace: 'if (false)' },
  ),
  bug(
    'a long history shares its marks with others',
    eventRuns('long histories are stored separately, so that each has its marks'),
    { file: sqlite('write/event-runs'), find: 'seq + eventCount >= markEvery', replace: 'false' },
  ),
  bug(
    'verify believes what a list says',
    verify('of jobs with gaps between their ids, which share rows reports a list that is not of numbers'),
    { file: sqlite('verify/verify'), find: 'offset <= last || (place === 0 && offset !== 0)', replace: 'false' },
  ),
  bug(
    'a job is stored in the name of an event of others',
    [
      'persistence/sqlite/law.test.ts',
      'a manual INSERT cannot create a job in the name of an event of others that share a row',
    ],
    { file: sqlite('migrations/0018'), sql: ' AND job_offsets IS NULL', replace: '' },
  ),
  bug(
    'a list of other length than its row is stored',
    ['persistence/sqlite/law.test.ts', 'a manual INSERT of an event row cannot have the list [0,2,4] for two jobs'],
    {
      file: sqlite('migrations/0018'),
      sql: 'json_array_length(job_offsets) = length',
      replace: 'json_array_length(job_offsets) >= length',
    },
  ),
  bug(
    'ids of events within a run are given again',
    eventRuns('each of them has its own history and its own event ids'),
    {
      file: sqlite('write/transitions'),
      sql: 'SELECT id + length FROM event_runs',
      replace: 'SELECT id + 1 FROM event_runs',
    },
  ),
  bug('a history goes on behind the end of a run', verify('reports a history without its beginning'), {
    file: sqlite('read/histories'),
    sql: ` AND \${id} < event_runs.id + length`,
    replace: '',
  }),
  bug(
    'a reader that comes to the midst of a run is told its beginning again',
    eventRuns('transitions are read one by one in the order of their ids, from any position'),
    { file: sqlite('read/rows'), sql: "AND event_runs.id + ${placeIn('event_runs')} > :after", replace: '' },
    { file: sqlite('read/rows'), find: "'max(:after + 1 - event_runs.id, 0)'", replace: "'0'" },
  ),
  bug(
    'a reader that comes to the midst of a run is not told its end',
    eventRuns('transitions are read one by one in the order of their ids, from any position'),
    {
      file: sqlite('read/rows'),
      sql: 'event_runs.id >= coalesce((SELECT max(id) FROM event_runs WHERE id <= :after + 1), 0)',
      replace: 'event_runs.id > :after',
    },
  ),
  bug(
    'a search takes % and _ for any characters',
    conformance('list finds what a person sees in a payload, and what is in its JSON, literally'),
    { file: sqlite('read/walk'), text: "spelling.replace(/[\\\\%_]/g, '\\\\$&')", replace: 'spelling' },
  ),
  bug(
    'retention follows only the first job of a row',
    eventRuns('retention follows a row to all rows that were before it'),
    {
      file: sqlite('write/retention'),
      find: 'previous.push(previousId + offset)',
      replace: 'previous.push(previousId)',
    },
  ),
  bug(
    'retention wants to remove what tells of other jobs',
    eventRuns('retention keeps a row with gaps between the ids of its jobs until the last of them is removed'),
    {
      file: sqlite('write/retention'),
      sql: `AND NOT EXISTS (SELECT 1 FROM (SELECT 1) \${withJobsOf('event_runs')})`,
      replace: '',
    },
  ),
]

const unreadable = (test: string) =>
  ['system-unreadable.test.ts', `a file with rows that cannot be read ${test}`] as const
const served = 'is served all the same: what is whole runs, what cannot be read does not, and log and health say so'

const damage: readonly Mutation[] = [
  bug('a claim takes a row that the machine cannot compute with', unreadable(served), {
    file: sqlite('write/skipped-jobs'),
    find: 'leaseToken > 1',
    replace: 'true',
  }),
  bug('what is due waits for ever behind a damaged row', unreadable(served), {
    file: sqlite('write/writer'),
    sql: 'run_at <= :now AND ${isValidRow} ORDER BY run_at, id',
    replace: 'run_at <= :now ORDER BY run_at, id',
  }),
  bug('a row is read as it is', unreadable('answers every question about all of them'), {
    file: 'persistence/rows.js',
    find: 'return { ...validJob(row), ...toProgress(progress) }',
    replace: 'return { ...row, error: row.error && JSON.parse(row.error) }',
  }),
  bug(
    'a second copy of the package opens the file',
    ['open-twice.test.ts', 'another copy of the package may not open the file as a producer, also through a link'],
    { file: sqlite('file/open-here'), find: 'copy !== thisCopy', replace: 'false' },
  ),
  bug(
    'a thread with a second SQLite opens the file',
    ['open-twice.test.ts', 'a thread with another copy of better-sqlite3 may not open what is open here'],
    { file: sqlite('file/open-here'), find: 'loadedDrivers().size > 1', replace: 'false' },
  ),
]

export const storeBugs: readonly Mutation[] = [
  ...damage,
  ...durability,
  ...leases,
  ...jobs,
  ...joins,
  ...histories,
  ...runs,
  ...uniqueKeys,
]
