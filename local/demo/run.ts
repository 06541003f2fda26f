import { endLine, mute, print, styled } from './terminal.ts'

/** Registers what is to be undone when the command ends, however it ends; the newest goes first. */
export type Later = (undo: () => unknown) => void

/** Runs a command to its end, its failure or Ctrl-C, undoes what it set up, and ends the process. */
export async function runCommand(work: (later: Later) => Promise<number>): Promise<never> {
  const undoing: (() => unknown)[] = []
  let isEnding = false

  async function end(code: number): Promise<never> {
    isEnding = true
    endLine()
    for (const undo of undoing.reverse()) {
      try {
        await undo()
      } catch (cause) {
        console.error(`while cleaning up: ${messageOf(cause)}`)
      }
    }
    process.exit(code)
  }

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => {
      if (isEnding) return
      print('\n  Interrupted: stopping what was started')
      mute()
      void end(code)
    })
  }

  try {
    const code = await work((undo) => undoing.push(undo))
    if (!isEnding) return await end(code)
  } catch (cause) {
    if (!isEnding) {
      endLine()
      console.error(`\n  ${styled('red', '✘')} ${messageOf(cause)}`)
      return await end(1)
    }
  }
  return new Promise<never>(() => {}) // Ctrl-C has the last word.
}

function messageOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message
}
