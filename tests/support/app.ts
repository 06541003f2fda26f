import type { App } from '../../functions/_shared/app.ts'

/** What is sent beside method and path; the body "text" goes as text. */
export type Sending = {
  body?: string
  headers?: Record<string, string>
  /** By RPC: what it answers, or throws. */
  answers?: Record<string, unknown>
}

/** Sends requests to an app with a database that answers as told, and says what that was asked. */
export function sendTo(app: App, otherwise: unknown) {
  return async (method: string, path: string, { body, headers, answers }: Sending = {}) => {
    const calls: [string, Record<string, unknown>][] = []
    const db = async (rpc: string, args: Record<string, unknown>) => {
      calls.push([rpc, JSON.parse(JSON.stringify(args))])
      const answer = answers?.[rpc]
      if (answer instanceof Error) throw answer
      return answer ?? otherwise
    }
    const type = body === 'text' ? 'text/plain' : 'application/json'
    const request = new Request(`http://localhost${path}`, {
      method,
      headers: { ...(body !== undefined && { 'content-type': type }), ...headers },
      body,
    })
    const response = await app.fetch(request, { db })
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: text ? JSON.parse(text) : null,
      calls,
    }
  }
}
