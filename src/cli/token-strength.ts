/** Words that stand in documentation, in examples and at the top of every list of passwords, the longer before those that they begin with. */
const words =
  `abcdefghijklmnopqrstuvwxyz administrator authorization characters changethis development qwertyuiop production
  placeholder jobmachine bearertoken correcthorsebatterystaple asdfghjkl authorize changeme children password passphrase dashboard
  example another battery correct default enough health letmein length localhost private qwertzuiop secrets staple secret server service
  session simple staging string sunshine superman testing please system iloveyou monkey dragon master welcome whatever access apikey bearer
  horse admin guest hello login token value field jobs least other right short super test that this user with word your pass qwerty azerty
  zxcvbnm asdf 1q2w3e4r three four five seven eight nine zero
  my not yet too one two job key api the for and set new old is at of in it`
    .split(/\s+/)
    .sort((a, b) => b.length - a.length)
const word = new RegExp(words.join('|'), 'g')

/** What is left of a token that nobody can guess, at least: characters that follow from none before, and different ones among them. */
const surprisesMin = 12
const differentMin = 6

/**
 * What makes a token easy to guess; undefined if nothing of this kind does. It finds what people type, such as words of the documentation, runs
 * and repetitions, and no more: a good token is made by a machine. 32 random hex digits pass always, 16 in 199 cases of 200.
 */
export function tokenProblem(token: string): string | undefined {
  const surprises = withoutRuns(token.toLowerCase())
    // A word is one choice among few, so it counts as one character; the same word again is none.
    .replace(word, (found) => String.fromCharCode(0xe000 + words.indexOf(found)))
    .replace(/[-_. ]+/g, '')
    .replace(/(.+?)\1+/g, '$1')
  if (surprises.length >= surprisesMin && new Set(surprises).size >= differentMin) return
  return 'is made of words, runs or repetitions that are easy to guess'
}

/** Of `aaaa`, `4567`, `1357` and `dcba` only the beginning. */
function withoutRuns(text: string): string {
  let kept = ''
  let lastStep = Number.NaN
  for (let at = 0; at < text.length; at++) {
    const step = at === 0 ? Number.NaN : text.charCodeAt(at) - text.charCodeAt(at - 1)
    const goesOn = step === lastStep && Math.abs(step) <= 2
    if (!goesOn) kept += text[at]
    lastStep = step
  }
  return kept
}
