import { parseArgs } from 'node:util'

/**
 * The options of a command line: a count where the option stands for a number, else whether it is there. Ends the
 * process where it asks for help or makes no sense.
 */
export function readArguments<Options extends Record<string, number | boolean>>(
  usage: string,
  otherwise: Options,
): { [Name in keyof Options]: Options[Name] extends number ? number : boolean } {
  try {
    const { values } = parseArgs({
      options: {
        help: { type: 'boolean', short: 'h' },
        ...Object.fromEntries(
          Object.entries(otherwise).map(([name, value]) => [
            name,
            { type: typeof value === 'number' ? 'string' : 'boolean' } as const,
          ]),
        ),
      },
    })
    if (values.help) {
      console.log(usage)
      process.exit(0)
    }
    const given = Object.entries(values).map(([name, value]) => [
      name,
      typeof value === 'string' ? countOf(name, value) : value,
    ])
    return { ...otherwise, ...Object.fromEntries(given) }
  } catch (cause) {
    console.error(`${cause instanceof Error ? cause.message : cause}\n\n${usage}`)
    process.exit(2)
  }
}

/** A number, or a size as so many bytes. */
function countOf(name: string, text: string): number {
  const [, size, unit] = /^(\d+)(MB|GB)$/.exec(text) ?? []
  if (Number(size) > 0) return Number(size) * (unit === 'GB' ? 1e9 : 1e6)
  const count = Number(text)
  if (Number.isInteger(count) && count > 0 && count <= 10_000_000) return count
  throw new Error(`--${name} is ${text}; it must be a whole number from 1 to 10000000`)
}
