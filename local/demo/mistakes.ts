import { type Dataset, kinds } from './business.ts'

/** What somebody got wrong: other cells in the first line of a record, by the names of the columns. */
const mistakes: Record<Dataset, Record<string, string>[]> = {
  customers: [
    { 'Customer since': '2024-02-30' },
    { Company: '' },
    { 'E-Mail': 'none' },
    { 'Country code': 'Germany' },
  ],
  contacts: [{ 'Customer No.': 'C-none' }, { Surname: '' }, { 'Main contact': 'maybe' }],
  products: [{ unit_price: 'ask' }, { currency: 'euro' }, { weight_kg: '-1' }],
  warehouse_locations: [{ kind: 'garage' }, { latitude: '91' }],
  inventory_levels: [{ Artikelnummer: 'P-none' }, { Bestand: 'many' }, { Reserviert: '-3' }],
  orders: [
    { 'Customer No.': 'C-none' },
    { 'Article No.': 'P-none' },
    { Quantity: '0' },
    { 'Order date': '30.02.2024' },
  ],
  invoices: [{ 'Order No.': 'A-none' }, { 'Due date': '2001-01-01' }, { VAT: '119' }],
  payments: [{ 'Invoice No.': 'R-none', 'Order No.': '' }, { Amount: '0' }, { Method: 'shells' }],
  delivery_routes: [
    { Depot: 'D-none' },
    { 'Customer No.': 'C-none' },
    { Earliest: '12:00', Latest: '11:00' },
  ],
}

/** One record in so many is wrong. */
const block = 50

export function isWrong(number: number): boolean {
  return number % block === 17
}

/** Spoils the first line of a record, in turn in one way or another. */
export function spoil(dataset: Dataset, number: number, rows: string[][]): void {
  const ways = mistakes[dataset]
  const way = ways[Math.floor(number / block) % ways.length] ?? {}
  for (const [column, value] of Object.entries(way)) {
    const index = kinds[dataset].columns.indexOf(column)
    if (index < 0) throw new Error(`${dataset} has no column ${column}`)
    rows[0]?.splice(index, 1, value)
  }
}
