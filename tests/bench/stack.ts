import { type OwnStack, temporaryStack } from '../../local/demo/endpoint.ts'
import type { Later } from '../../local/demo/run.ts'
import { startStep } from '../../local/demo/terminal.ts'

/** A stack of the benchmark's own, never one that runs already: what its database holds would be measured too. */
export async function ownStack(later: Later): Promise<OwnStack> {
  const step = startStep('Stack')
  const starting = temporaryStack()
  later(async () => (await starting.catch(() => undefined))?.stop())
  const stack = await starting
  step.done(stack.url)
  return stack
}
