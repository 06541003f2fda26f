import { randomUUID } from 'node:crypto'
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import postgres, { type Sql } from 'postgres'
import { inject } from 'vitest'
import type { SharedStack } from './stack.ts'

type Endpoint = Pick<SharedStack, 'url' | 'databaseUrl' | 'publishableKey' | 'secretKey'>

/** Somebody who has signed up and is signed in. */
export type Person = { id: string; email: string; token: string; client: SupabaseClient }

/** A client of nobody in particular. */
export function anonymousClient(stack: Endpoint = inject('stack')): SupabaseClient {
  return clientOf(stack, stack.publishableKey)
}

/** A client that may do everything: it holds the secret key. */
export function serviceClient(stack: Endpoint = inject('stack')): SupabaseClient {
  return clientOf(stack, stack.secretKey)
}

/** Signs a new person up. The name only helps to tell the e-mail addresses apart. */
export async function signUp(name: string, stack: Endpoint = inject('stack')): Promise<Person> {
  const email = `${name}-${randomUUID().slice(0, 8)}@example.com`
  const { data, error } = await anonymousClient(stack).auth.signUp({ email, password: `password of ${name}` })
  if (error || !data.session || !data.user) throw new Error(`${name} could not sign up: ${error?.message}`)
  const token = data.session.access_token
  return { id: data.user.id, email, token, client: clientOf(stack, stack.publishableKey, token) }
}

/** A connection as role postgres, for what a test must prepare or look at behind the API. The caller ends it. */
export function connect(stack: Endpoint = inject('stack'), options: { max?: number } = {}): Sql {
  return postgres(stack.databaseUrl, { max: 2, prepare: false, onnotice: () => {}, ...options })
}

function clientOf(stack: Endpoint, key: string, token?: string): SupabaseClient {
  return createClient(stack.url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    ...(token && { global: { headers: { authorization: `Bearer ${token}` } } }),
    // Node 20 has no WebSocket, and realtime wants one though nothing here subscribes.
    realtime: { transport: NoWebSocket as unknown as typeof WebSocket },
  })
}

class NoWebSocket {}
