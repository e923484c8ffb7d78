export type Browser = {
  /** Follows redirects with cookies until they lead away from where they began; gives the address of the last page. */
  open: (url: string) => Promise<URL>
  fetch: (url: string, init?: RequestInit) => Promise<Response>
}

/** As much of a browser as a sign-in needs: one origin's cookies, and redirects. */
export function startBrowser(): Browser {
  const cookies = new Map<string, string>()

  const fetchWithCookies = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { cookie, ...(init.headers as Record<string, string> | undefined) }
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') cookies.delete(name)
      else cookies.set(name, value)
    }
    return response
  }

  return {
    fetch: fetchWithCookies,
    async open(url) {
      let at = new URL(url)
      const { origin } = at
      for (let step = 0; step < 12; step += 1) {
        const response = await fetchWithCookies(at.href)
        const location = response.headers.get('location')
        if (location === null) return at
        at = new URL(location, at)
        if (at.origin !== origin) return at
      }
      throw new Error('too many redirects')
    },
  }
}
