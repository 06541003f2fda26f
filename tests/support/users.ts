import { randomUUID } from 'node:crypto'
import type { Session } from '@supabase/supabase-js'
import type { Sql } from 'postgres'
import { anonymousClient, type Person, signUp } from './client.ts'
import { join } from './imports.ts'

/** Somebody new with an organization of their own, which may confirm where that is said. */
export async function adminOf(
  sql: Sql,
  name: string,
  { mayConfirm = false }: { mayConfirm?: boolean } = {},
): Promise<{ admin: Person; organization: string; domain: string }> {
  const admin = await signUp(name)
  const slug = `${name}-${randomUUID().slice(0, 8)}`
  const { data, error } = await admin.client.rpc('create_organization', { name: slug, slug })
  if (error) throw new Error(error.message)
  if (mayConfirm) await sql`select public.set_setting('users.may_confirm', 'true', ${data.id})`
  return { admin, organization: data.id, domain: `${slug}.example` }
}

/** Somebody new with a role in an organization. */
export async function personOf(sql: Sql, organization: string, role: string): Promise<Person> {
  const person = await signUp(role)
  await join(sql, person.id, organization, role)
  return person
}

/** A system admin, who belongs to no organization. */
export async function systemAdmin(sql: Sql): Promise<Person> {
  const person = await signUp('root')
  await sql`update public.profiles set is_system_admin = true where id = ${person.id}`
  return person
}

/** The session of somebody who signs in with a password; what is said where they may not. */
export async function signIn(
  email: string,
  password: string,
): Promise<{ session: Session | null; refusal: string | undefined }> {
  const { data, error } = await anonymousClient().auth.signInWithPassword({ email, password })
  return { session: data.session, refusal: error?.message }
}
