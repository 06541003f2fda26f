import { parseArgs } from 'node:util'

/** The --rows of a command line; ends the process where it asks for help or makes no sense. */
export function rowsArgument(usage: string, otherwise: number): number {
  try {
    const { values } = parseArgs({
      options: { rows: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    })
    if (values.help) {
      console.log(usage)
      process.exit(0)
    }
    const rows = Number(values.rows ?? otherwise)
    if (Number.isInteger(rows) && rows > 0 && rows <= 10_000_000) return rows
    throw new Error(`--rows is ${values.rows}; it must be a whole number from 1 to 10000000`)
  } catch (cause) {
    console.error(`${cause instanceof Error ? cause.message : cause}\n\n${usage}`)
    process.exit(2)
  }
}
