import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

// Deployed, a function has its own deno.json alone; here everything comes from package.json.

const root = join(import.meta.dirname, '../../..')
const functions = readdirSync(join(root, 'functions')).filter((name) =>
  existsSync(join(root, 'functions', name, 'index.ts')),
)

function read(path: string) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'))
}

/** The packages that a file imports, and those that it imports do. */
function packagesOf(file: string, seen = new Set<string>()): Set<string> {
  const packages = new Set<string>()
  seen.add(file)
  for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(
    /^(?:import|export|}) .*from '(.+)'$/gm,
  )) {
    const path = resolve(file, '..', specifier)
    if (!specifier.startsWith('.')) packages.add(specifier)
    else if (!seen.has(path)) for (const one of packagesOf(path, seen)) packages.add(one)
  }
  return packages
}

describe.each(functions)('deno.json of %s', (name) => {
  const { imports } = read(`functions/${name}/deno.json`) as { imports: Record<string, string> }

  it('names the versions of package.json', () => {
    const { dependencies } = read('package.json') as { dependencies: Record<string, string> }
    for (const [specifier, target] of Object.entries(imports)) {
      const dependency = Object.keys(dependencies).find(
        (known) => specifier === known || specifier.startsWith(`${known}/`),
      )
      const subpath = specifier.slice(dependency?.length ?? 0)
      expect(target).toBe(`npm:${dependency}@${dependencies[dependency ?? '']}${subpath}`)
    }
  })

  it('names every package that the function needs', () => {
    const needed = [...packagesOf(join(root, 'functions', name, 'index.ts'))]
    expect(needed.length).toBeGreaterThan(1)
    expect(Object.keys(imports)).toEqual(
      expect.arrayContaining(needed.filter((specifier) => !specifier.startsWith('node:'))),
    )
  })
})
