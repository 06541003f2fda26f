// node --import tsx examples/generate.ts: writes the sample files anew.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exampleFiles } from '../local/demo/examples.ts'

for (const [name, text] of Object.entries(exampleFiles()))
  writeFileSync(join(import.meta.dirname, name), text)
