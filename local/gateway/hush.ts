import { isExpected } from './errors.ts'

/** What the gateway library's modules say when they load. True, but nothing that a user of this stack can act on. */
const known = [/^⚠️ {2}Node\.js 20 and below are deprecated/, /^EXPERIMENTAL FEATURES ENABLED/]

const { warn, error } = console
console.warn = (...args: unknown[]) => {
  if (!known.some((pattern) => pattern.test(String(args[0])))) warn(...args)
}

// The library prints every error of the database, also those that are plain answers to the caller.
console.error = (...args: unknown[]) => {
  if (!args.some(isExpected)) error(...args)
}
