import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import { type Person, signUpWithOrganization } from './api.ts'
import { type OwnStack, runningStack, temporaryStack } from './endpoint.ts'
import { seconds } from './format.ts'
import type { Later } from './run.ts'
import { startStep } from './terminal.ts'

/** The stack that runs in this folder, or one of the command's own. */
export async function findStack(later: Later): Promise<OwnStack> {
  const looking = startStep('Stack')
  const running = await runningStack()
  if (running) {
    looking.done(`${running.url}, which runs already`)
    return running
  }
  const began = performance.now()
  const starting = temporaryStack()
  later(async () => (await starting.catch(() => undefined))?.stop())
  const stack = await starting
  looking.done(`${stack.url}, started in ${seconds(performance.now() - began)}`)
  return stack
}

/** A new person with an organization of their own. */
export async function signUpPerson(stack: OwnStack): Promise<Person> {
  const signingUp = startStep('Person')
  const name = `Demo ${randomUUID().slice(0, 8)}`
  const email = `${name.replace(' ', '-').toLowerCase()}@example.com`
  const person = await signUpWithOrganization(stack, email, name)
  signingUp.done(`${person.email}, admin of the organization "${name}"`)
  return person
}

/** What a system admin does for an organization whose admins may say of addresses that they are right. */
export async function allowToConfirm(stack: OwnStack, { organizationId }: Person): Promise<void> {
  const step = startStep('Permission')
  await asPostgres(
    stack,
    (sql) => sql`select public.set_setting('users.may_confirm', 'true', ${organizationId})`,
  )
  step.done('users.may_confirm: its admins may set passwords')
}

/** Looks or does what no person may. */
export async function asPostgres<T>(stack: OwnStack, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(stack.databaseUrl, { max: 1, prepare: false, onnotice: () => {} })
  try {
    return await work(sql)
  } finally {
    await sql.end()
  }
}
