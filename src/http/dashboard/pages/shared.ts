/** Makes something for many at once: whoever asks within `ms` of when it was begun gets the same. What failed is made anew. */
export function shared<T>(ms: number, make: () => Promise<T>): () => Promise<T> {
  let made: { readonly at: number; readonly value: Promise<T> } | undefined
  return () => {
    const now = performance.now()
    if (made && now - made.at < ms) return made.value
    const value = make()
    made = { at: now, value }
    value.catch(() => {
      if (made?.value === value) made = undefined
    })
    return value
  }
}
