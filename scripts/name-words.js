/** The words of a name in lower case and in the singular: `leaseTokens` is lease and token. */
export function wordsOf(name) {
  return name
    .split(/[^A-Za-z]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/)
    .map((word) => singular(word.toLowerCase()))
    .filter((word) => word.length > 2)
}

function singular(word) {
  if (word.length < 4) return word
  return word.replace(/(?<=.)ies$/, 'y').replace(/(?<=ch|sh|ss|x)es$|(?<=[^isu])s$/, '')
}
