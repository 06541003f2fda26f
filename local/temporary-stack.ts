import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPorts } from './ports.ts'
import { type Stack, type StackOptions, startStack } from './stack.ts'

/** Starts a stack beside any other, in a folder that goes when it stops. */
export async function startTemporaryStack(options: Partial<StackOptions> = {}): Promise<Stack> {
  const dataDir = mkdtempSync(join(tmpdir(), 'sluice-'))
  return startStack({ port: await findPorts(), dataDir, temporary: true, ...options })
}

/** Does some work with a temporary stack. */
export async function withTemporaryStack<T>(work: (stack: Stack) => Promise<T>): Promise<T> {
  const stack = await startTemporaryStack()
  try {
    return await work(stack)
  } finally {
    await stack.stop()
  }
}
