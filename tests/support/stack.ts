import postgres from 'postgres'
import type { TestProject } from 'vitest/node'
import type { Stack, StackOptions } from '../../local/stack.ts'
import { startTemporaryStack } from '../../local/temporary-stack.ts'

/** What a test may know of the shared stack. */
export type SharedStack = Pick<
  Stack,
  'url' | 'databaseUrl' | 'adminDatabaseUrl' | 'publishableKey' | 'secretKey' | 'dataDir'
> & { functionsPid: number }

declare module 'vitest' {
  export interface ProvidedContext {
    stack: SharedStack
  }
}

type Shared = { users: number; stack: Promise<Stack> }

/** Every project of vitest loads this file for itself; the stack is the process's. */
const holder = globalThis as typeof globalThis & { sluiceTestStack?: Shared }

/** Vitest's global set-up: one stack for all projects that name it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  holder.sluiceTestStack ??= { users: 0, stack: startTestStack() }
  const shared = holder.sluiceTestStack
  shared.users++
  const stack = await shared.stack
  const { url, databaseUrl, adminDatabaseUrl, publishableKey, secretKey, dataDir } = stack
  const functionsPid = stack.functionsPid()
  project.provide('stack', {
    url,
    databaseUrl,
    adminDatabaseUrl,
    publishableKey,
    secretKey,
    dataDir,
    functionsPid,
  })

  return async () => {
    shared.users--
    if (shared.users === 0) await stack.stop()
  }
}

/**
 * Starts a stack on free ports and in a folder of its own, which goes when it stops. With SLUICE_TEST_DB_URL it uses
 * that server (as a superuser) instead of the embedded one: a database that is empty or that an earlier run has marked
 * as a test database, and which is emptied first.
 */
export async function startTestStack(options: Partial<StackOptions> = {}): Promise<Stack> {
  const externalDatabaseUrl = process.env.SLUICE_TEST_DB_URL
  const stack = await startTemporaryStack({
    log: (line) => process.env.SLUICE_TEST_LOG && console.error(line),
    ...(externalDatabaseUrl && { externalDatabaseUrl }),
    ...options,
  })
  await installPgtap(stack.adminDatabaseUrl)
  return stack
}

async function installPgtap(adminUrl: string): Promise<void> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} })
  try {
    await sql`create extension if not exists pgtap with schema extensions`
  } finally {
    await sql.end()
  }
}
