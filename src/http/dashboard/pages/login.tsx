import { page } from './page.tsx'

/** The form that asks for the token; `next`: a path of ours to go on to. `error`: why it is shown again. */
export function loginPage(next: string, error: string | null = null): Response {
  const form = (
    <form class="card login" method="post" action="/login">
      <h1>Log in</h1>
      <p>This server requires its API token, the value of API_TOKEN with which it was started.</p>
      {error !== null && (
        <p class="error" role="alert" id="error">
          {error}
        </p>
      )}
      <input type="hidden" name="next" value={next} />
      <label for="token">API token</label>
      <input
        id="token"
        name="token"
        type="password"
        autocomplete="current-password"
        required
        autofocus
        aria-describedby={error === null ? undefined : 'error'}
      />
      <button type="submit">Log in</button>
    </form>
  )
  return page({ title: 'Log in', section: null, children: form }, { status: error === null ? 200 : 401 })
}
