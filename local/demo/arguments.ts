import { parseArgs } from 'node:util'

/** The --rows of a command line, and which of the flags it has. Ends the process where it asks for help or makes no sense. */
export function readArguments(
  usage: string,
  otherwise: number,
  flags: string[],
): { rows: number; flags: string[] } {
  try {
    const { values } = parseArgs({
      options: {
        rows: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        ...Object.fromEntries(flags.map((flag) => [flag, { type: 'boolean' } as const])),
      },
    })
    if (values.help) {
      console.log(usage)
      process.exit(0)
    }
    const rows = Number(values.rows ?? otherwise)
    if (Number.isInteger(rows) && rows > 0 && rows <= 10_000_000)
      return { rows, flags: flags.filter((flag) => flag in values) }
    throw new Error(`--rows is ${values.rows}; it must be a whole number from 1 to 10000000`)
  } catch (cause) {
    console.error(`${cause instanceof Error ? cause.message : cause}\n\n${usage}`)
    process.exit(2)
  }
}
