import { cellsOf, customer, customerNumber } from './customers.ts'
import { productCells, productColumns, productNumber } from './products.ts'
import { type Random, seeded } from './random.ts'
import { csvLine, header as customerColumns } from './rows.ts'
import { firstNames, lastNames, notes, streets } from './words.ts'

/** The datasets, in the order of their references. */
export const datasets = [
  'customers',
  'contacts',
  'products',
  'warehouse_locations',
  'inventory_levels',
  'orders',
  'invoices',
  'payments',
  'delivery_routes',
] as const
export type Dataset = (typeof datasets)[number]

/** A made-up business: the numbers of its records by dataset, those alone to which others may refer. */
export type Business = Record<Dataset, readonly number[]>

/** A business with so many records of each dataset, numbered from 1, but for those that are left out. */
export function businessOf(
  counts: Record<Dataset, number>,
  isLeftOut: (number: number, dataset: Dataset) => boolean = () => false,
): Business {
  const business: Partial<Business> = {}
  for (const dataset of datasets) {
    const all = Array.from({ length: counts[dataset] }, (_, index) => index + 1)
    business[dataset] = all.filter((number) => !isLeftOut(number, dataset))
  }
  return business as Business
}

/** What a file of a dataset looks like. Everything of a record depends on its number and the business alone. */
type Kind = {
  /** The header: names as programs and people give them. */
  columns: string[]
  delimiter?: ';'
  /** The lines of the file that one record takes. */
  rows(number: number, business: Business): string[][]
}

export const kinds: Record<Dataset, Kind> = {
  customers: { columns: customerColumns, rows: (number) => [cellsOf(customer(number))] },
  contacts: {
    columns: ['Contact No.', 'Customer No.', 'First name', 'Surname', 'Position', 'E-Mail', 'Main contact'],
    rows: contact,
  },
  products: { columns: productColumns, rows: (number) => [productCells(number)] },
  warehouse_locations: {
    columns: ['code', 'name', 'kind', 'street', 'postal_code', 'city', 'country', 'latitude', 'longitude'],
    rows: location,
  },
  inventory_levels: {
    columns: ['Artikelnummer', 'Lagerort', 'Bestand', 'Reserviert', 'Meldebestand', 'Gezählt am'],
    delimiter: ';',
    rows: inventoryLevel,
  },
  orders: {
    columns: [
      'Order No.',
      'Line',
      'Customer No.',
      'Order date',
      'Requested date',
      'Status',
      'Currency',
      'Shipping',
      'Your reference',
      'Article No.',
      'Quantity',
      'Unit price',
      'Discount',
    ],
    rows: orderRows,
  },
  invoices: {
    columns: [
      'Invoice No.',
      'Line',
      'Customer No.',
      'Order No.',
      'Invoice date',
      'Due date',
      'Status',
      'Currency',
      'Article No.',
      'Description',
      'Quantity',
      'Net price',
      'VAT',
    ],
    rows: invoiceRows,
  },
  payments: {
    columns: ['Payment No.', 'Invoice No.', 'Order No.', 'Date', 'Amount', 'Currency', 'Method', 'Reference'],
    rows: payment,
  },
  delivery_routes: {
    columns: [
      'Route',
      'Stop',
      'Depot',
      'Date',
      'Departure',
      'Driver',
      'Vehicle',
      'Customer No.',
      'Earliest',
      'Latest',
      'Note',
    ],
    rows: routeRows,
  },
}

/** The lines of a file. To some orders a line was added later: it stands at the end. */
export function fileRows(
  dataset: Dataset,
  business: Business,
  numbers: readonly number[],
  change?: (rows: string[][], number: number) => void,
): string[][] {
  const late: string[][] = []
  const rows = numbers.flatMap((number) => {
    const own = kinds[dataset].rows(number, business)
    change?.(own, number)
    if (dataset === 'orders' && number % 5 === 0 && own.length > 1) late.push(...own.splice(-1))
    return own
  })
  return [...rows, ...late]
}

/** A file of a dataset. */
export function csv(dataset: Dataset, rows: string[][]): string {
  const { columns, delimiter } = kinds[dataset]
  return [columns, ...rows].map((cells) => `${csvLine(cells, delimiter)}\n`).join('')
}

const towns = [
  { city: 'Köln', code: 'CGN', postalCode: '50667', country: 'DE', latitude: 50.938, longitude: 6.96 },
  { city: 'Wien', code: 'VIE', postalCode: '1010', country: 'AT', latitude: 48.208, longitude: 16.373 },
  { city: 'Zürich', code: 'ZRH', postalCode: '8001', country: 'CH', latitude: 47.374, longitude: 8.541 },
  { city: 'Lyon', code: 'LYS', postalCode: '69001', country: 'FR', latitude: 45.764, longitude: 4.835 },
  { city: 'Málaga', code: 'AGP', postalCode: '29001', country: 'ES', latitude: 36.721, longitude: -4.421 },
] as const
const titles = [
  'Purchasing',
  'Accounting',
  'Owner',
  'Head of kitchen',
  'Reception',
  'Warehouse',
  'Management',
]

function contact(number: number, business: Business): string[][] {
  const random = seededFor('contacts', number)
  const last = random.pick(lastNames)
  const cells = [
    `K-${1000 + number}`,
    customerNumber(random.pick(business.customers)),
    random.below(6) === 0 ? '' : random.pick(firstNames),
    last,
    random.below(4) === 0 ? '' : random.pick(titles),
    random.below(5) === 0 ? '' : `k${number}@contacts.example`,
    String(random.below(3) === 0),
  ]
  return [cells]
}

function location(number: number): string[][] {
  const random = seededFor('warehouse_locations', number)
  const town = towns[(number - 1) % towns.length] as (typeof towns)[number]
  const kind = number <= 2 ? 'warehouse' : random.pick(['warehouse', 'store', 'depot', 'transit'])
  const cells = [
    locationCode(number),
    `${town.city} ${kind} ${number}`,
    kind,
    `${random.pick(streets)} ${1 + random.below(99)}`,
    town.postalCode,
    town.city,
    town.country,
    town.latitude.toFixed(6),
    town.longitude.toFixed(6),
  ]
  return [cells]
}

function locationCode(number: number): string {
  return `${towns[(number - 1) % towns.length]?.code}-${String(number).padStart(2, '0')}`
}

/** Every product is first at one location, then at the next. */
function inventoryLevel(number: number, business: Business): string[][] {
  const random = seededFor('inventory_levels', number)
  const index = number - 1
  const { products, warehouse_locations: locations } = business
  const place = ((index % products.length) + Math.floor(index / products.length)) % locations.length
  const quantity = random.below(500)
  const cells = [
    productNumber(products[index % products.length] as number),
    locationCode(locations[place] as number),
    String(quantity),
    random.below(3) === 0 ? String(random.below(quantity + 1)) : '',
    random.below(4) === 0 ? '' : String(10 * random.below(10)),
    random.below(2) === 0 ? '' : day(random, 2024, 90),
  ]
  return [cells]
}

type Line = { product: string; quantity: number; cents: number; discount: number }
type Order = {
  number: string
  customer: string
  day: string
  shipping: number
  lines: Line[]
  random: Random
}

function order(number: number, business: Business): Order {
  const random = seededFor('orders', number)
  const customer = customerNumber(random.pick(business.customers))
  const ordered = day(random, 2024, 300)
  const shipping = random.below(3) === 0 ? 0 : 490 + 100 * random.below(5)
  const lines = Array.from({ length: 1 + random.below(4) }, () => {
    const product = random.pick(business.products)
    return {
      product: productNumber(product),
      quantity: 1 + random.below(40),
      cents: Math.round(Number(productCells(product)[4]) * 100),
      discount: random.below(5) === 0 ? 5 * (1 + random.below(4)) : 0,
    }
  })
  return { number: `A-${10_000 + number}`, customer, day: ordered, shipping, lines, random }
}

/** What belongs to the order itself is repeated on each line, as programs export it. */
function orderRows(number: number, business: Business): string[][] {
  const { number: name, customer, day: ordered, shipping, lines, random } = order(number, business)
  const head = [
    customer,
    ordered,
    random.below(2) === 0 ? '' : later(ordered, 3 + random.below(10)),
    random.pick(['open', 'open', 'shipped', 'delivered', '']),
    'EUR',
    shipping > 0 ? money(shipping) : '',
    random.below(3) === 0 ? `PO ${random.below(100_000)}` : '',
  ]
  return lines.map(({ product, quantity, cents, discount }, index) => [
    name,
    String(index + 1),
    ...head,
    product,
    String(quantity),
    money(cents),
    discount > 0 ? String(discount) : '',
  ])
}

const vat = 19

/** The invoice of the order of the same place; every seventh is for something else. Cents, before tax. */
function invoice(number: number, business: Business) {
  const random = seededFor('invoices', number)
  const name = `R-${20_000 + number}`
  const status = random.pick(['open', 'open', 'paid', ''])
  if (number % 7 === 0) {
    const customer = customerNumber(random.pick(business.customers))
    const lines = [{ product: '', text: 'Barista training, one day', quantity: 1, cents: 45_000 }]
    return { name, customer, order: '', day: day(random, 2024, 300), status, lines }
  }
  const source = order(business.orders[(number - 1) % business.orders.length] as number, business)
  const lines = source.lines.map(({ product, quantity, cents, discount }) => ({
    product,
    text: '',
    quantity,
    cents: Math.round(cents * (1 - discount / 100)),
  }))
  if (source.shipping > 0) lines.push({ product: '', text: 'Shipping', quantity: 1, cents: source.shipping })
  return { name, customer: source.customer, order: source.number, day: later(source.day, 2), status, lines }
}

function invoiceRows(number: number, business: Business): string[][] {
  const { name, customer, order, day: issued, status, lines } = invoice(number, business)
  const head = [customer, order, issued, later(issued, 30), status, 'EUR']
  return lines.map(({ product, text, quantity, cents }, index) => [
    name,
    String(index + 1),
    ...head,
    product,
    text,
    String(quantity),
    money(cents),
    String(vat),
  ])
}

/** Of an invoice; every tenth is for an order, in advance. */
function payment(number: number, business: Business): string[][] {
  const random = seededFor('payments', number)
  const name = `Z-${30_000 + number}`
  const rest = ['EUR', random.pick(['bank_transfer', 'bank_transfer', 'card', 'direct_debit', ''])]
  if (number % 10 === 0) {
    const { number: ordered, day: date } = order(random.pick(business.orders), business)
    return [[name, '', ordered, later(date, 1), money(5000), ...rest, `Deposit ${ordered}`]]
  }
  const {
    name: invoiced,
    day: issued,
    lines,
  } = invoice(business.invoices[(number - 1) % business.invoices.length] as number, business)
  const cents = lines.reduce((sum, line) => sum + line.quantity * line.cents, 0)
  const amount = money(Math.round(cents * (1 + vat / 100)))
  return [[name, invoiced, '', later(issued, random.below(28)), amount, ...rest, `Invoice ${invoiced}`]]
}

/** What belongs to the route itself stands on its first line alone, as people write it. */
function routeRows(number: number, business: Business): string[][] {
  const random = seededFor('delivery_routes', number)
  const head = [
    locationCode(random.pick(business.warehouse_locations)),
    day(random, 2025, 60),
    `0${6 + random.below(2)}:${random.pick(['00', '15', '30', '45'])}`,
    `${random.pick(firstNames)} ${random.pick(lastNames)}`,
    `K-SL ${100 + random.below(900)}`,
  ]
  return Array.from({ length: 3 + random.below(5) }, (_, index) => [
    `T-${400 + number}`,
    String(index + 1),
    ...(index === 0 ? head : ['', '', '', '', '']),
    customerNumber(random.pick(business.customers)),
    `${String(8 + index).padStart(2, '0')}:00`,
    random.below(3) === 0 ? '' : `${String(9 + index).padStart(2, '0')}:30`,
    random.below(3) === 0 ? random.pick(notes) : '',
  ])
}

/** A sequence of its own for each dataset, else all that has a number would be alike. */
function seededFor(dataset: Dataset, number: number): Random {
  return seeded(number * datasets.length + datasets.indexOf(dataset))
}

/** One of the first days of a year. */
function day(random: Random, year: number, days: number): string {
  return new Date(Date.UTC(year, 0, 1 + random.below(days))).toISOString().slice(0, 10)
}

function later(date: string, days: number): string {
  return new Date(Date.parse(date) + days * 86_400_000).toISOString().slice(0, 10)
}

function money(cents: number): string {
  return (cents / 100).toFixed(2)
}
