/** Whether a text can be parsed; null cannot. */
export function isJson(text: string | null): boolean {
  try {
    return text !== null && JSON.parse(text) !== undefined
  } catch {
    return false
  }
}
