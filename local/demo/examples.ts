import { businessOf, csv, type Dataset, datasets, fileRows } from './business.ts'
import { type MadeUp, madeUp, peopleFile } from './people.ts'

const counts: Record<Dataset, number> = {
  customers: 50,
  contacts: 40,
  products: 50,
  warehouse_locations: 5,
  inventory_levels: 80,
  orders: 30,
  invoices: 24,
  payments: 20,
  delivery_routes: 8,
}

/** Customers that are wrong, to show what comes of it: a day that there is not, and a number that is taken. */
const wrongCustomers: Record<number, (cells: string[]) => void> = {
  17: (cells) => cells.splice(9, 1, '2024-02-30'),
  38: (cells) => cells.splice(0, 1, 'C-0000001'),
}

const domain = 'acme.example'
/** People that are wrong: an address that is none, a role that there is not, and one who is there twice. */
const wrongPeople: Record<number, (person: MadeUp) => void> = {
  7: (person) => Object.assign(person, { email: person.email.replace('@', ' at ') }),
  13: (person) => Object.assign(person, { role: 'boss' }),
  19: (person) => Object.assign(person, { email: madeUp(4, domain).email.toUpperCase() }),
}
/** The sample files of examples/, by name. Those of a business belong together: what one refers to is in another. */
export function exampleFiles(): Record<string, string> {
  const all = businessOf(counts)
  const business = businessOf(
    counts,
    (number, dataset) => dataset === 'customers' && number in wrongCustomers,
  )
  const files = Object.fromEntries(
    datasets.map((dataset) => {
      const rows = fileRows(dataset, business, all[dataset], ([cells = []], number) => {
        if (dataset === 'customers') wrongCustomers[number]?.(cells)
      })
      return [`${dataset}.csv`, csv(dataset, rows)]
    }),
  )
  const people = Array.from({ length: 24 }, (_, index) => madeUp(index + 1, domain))
  for (const [number, spoil] of Object.entries(wrongPeople)) spoil(people[Number(number) - 1] as MadeUp)
  // Without passwords: most organizations invite.
  return { ...files, 'users.csv': peopleFile(people, ['email', 'full_name', 'role', 'phone', 'metadata']) }
}
