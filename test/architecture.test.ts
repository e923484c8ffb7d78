import { globSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { readModule } from './support/module-lexer.ts'

/** The import table of the design: what each folder of `src/` may import besides itself, row by row. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  kernel: [],
  config: [],
  store: ['kernel'],
  tokens: ['kernel'],
  revocations: ['kernel', 'store'],
  keys: ['kernel', 'store', 'revocations'],
  registry: ['kernel', 'store', 'revocations'],
  audit: ['kernel', 'store'],
  issuer: ['kernel', 'store', 'tokens', 'revocations', 'keys', 'registry', 'audit'],
  admin: ['kernel', 'store', 'tokens', 'revocations', 'keys', 'registry', 'audit'],
  proxy: ['kernel', 'tokens', 'revocations', 'audit', 'store'],
  'bundled-ocr': ['kernel'],
  cli: [
    'kernel',
    'config',
    'store',
    'tokens',
    'revocations',
    'keys',
    'registry',
    'audit',
    'issuer',
    'admin',
    'proxy',
    'bundled-ocr',
  ],
}

/** Which files may import a package that has an owner: those whose path starts so. */
const PACKAGE_OWNERS: Record<string, readonly string[]> = {
  'oidc-provider': ['src/issuer/'],
  jose: ['src/tokens/', 'src/keys/'],
  ioredis: ['src/store/redis.ts'],
  argon2: ['src/registry/'],
  pkcs11js: ['src/keys/'],
  '@peculiar/x509': ['src/cli/dev-certificates.ts'],
  koa: ['src/issuer/', 'src/admin/'],
  '@koa/router': ['src/issuer/', 'src/admin/'],
}

const READS_ENVIRONMENT = 'src/config/load.ts'

/** Every breach of the rules in these files (path → source), each naming its file or edge. */
function findBreaches(files: Readonly<Record<string, string>>): string[] {
  return Object.entries(files).flatMap(([path, source]) => {
    const facts = readModule(source)
    return [
      ...(MAY_IMPORT[folderOf(path)] === undefined ? [`${path} is in no folder of the table`] : []),
      ...(posix.basename(path) === 'index.ts' ? [`${path} is a barrel`] : []),
      ...(facts.reexportsEverything ? [`${path} re-exports a whole module`] : []),
      ...(facts.hasDefaultExport ? [`${path} has a default export`] : []),
      ...(facts.readsEnvironment && path !== READS_ENVIRONMENT
        ? [`${path} reads the environment`]
        : []),
      ...facts.specifiers.flatMap((specifier) => breachesOfEdge(path, specifier)),
    ]
  })
}

function breachesOfEdge(path: string, specifier: string | undefined): string[] {
  if (specifier === undefined) return [`${path} → a computed path`]
  if (specifier.startsWith('node:')) return []
  if (!specifier.startsWith('.')) return breachesOfPackage(path, specifier)
  const target = posix.join(posix.dirname(path), specifier)
  const [from, to] = [folderOf(path), folderOf(target)]
  const isAllowed = from === to || MAY_IMPORT[from]?.includes(to) === true
  return [
    ...(isAllowed ? [] : [`${path} → ${target}`]),
    ...(target.endsWith('.ts') ? [] : [`${path} → ${target} does not end in .ts`]),
  ]
}

function breachesOfPackage(path: string, specifier: string): string[] {
  const isScoped = specifier.startsWith('@')
  const name = specifier
    .split('/')
    .slice(0, isScoped ? 2 : 1)
    .join('/')
  const owners = PACKAGE_OWNERS[name]
  if (owners === undefined || owners.some((owner) => path.startsWith(owner))) return []
  return [`${path} → ${name}, which belongs to ${owners.join(' and ')}`]
}

/** `src/keys/ring.ts` → `keys`; a file outside of src/ or straight in it is in none. */
function folderOf(path: string): string {
  return /^src\/([^/]+)\/./.exec(path)?.[1] ?? '(none)'
}

const root = fileURLToPath(new URL('..', import.meta.url))
const sources = Object.fromEntries(
  globSync('src/**/*.{ts,mts,cts,js,mjs,cjs}', { cwd: root })
    .sort()
    .map((path) => [path, readFileSync(`${root}/${path}`, 'utf8')]),
)

describe('the files in src/', () => {
  test('keep to the import table, the owners of packages and the module rules', () => {
    expect(findBreaches(sources)).toEqual([])
  })

  test('are all read, and each import in them is seen', () => {
    expect(Object.keys(sources)).toContain('src/kernel/errors.ts')
    // A plain search sees the same lines as the lexer, as long as the formatter keeps `from '…'` on one line.
    for (const [path, source] of Object.entries(sources)) {
      const plain = [...source.matchAll(/^(?:.*\} |import .*|export .*)from '([^']+)'$/gm)]
      const seen = readModule(source).specifiers
      expect([path, seen]).toEqual([
        path,
        expect.arrayContaining(plain.map(([, specifier]) => specifier)),
      ])
    }
  })
})

describe('the import table', () => {
  const folders = Object.keys(MAY_IMPORT)

  test.each(folders)('decides what %s may import', (from) => {
    const importing = (to: string) => ({
      [`src/${from}/a.ts`]: `import { b } from '../${to}/b.ts'`,
    })
    const forbidden = folders.filter((to) => findBreaches(importing(to)).length > 0)
    expect(forbidden).toEqual(
      folders.filter((to) => to !== from && MAY_IMPORT[from]?.includes(to) !== true),
    )
    for (const to of forbidden) {
      expect(findBreaches(importing(to))).toEqual([`src/${from}/a.ts → src/${to}/b.ts`])
    }
  })

  test('keeps issuer, admin and proxy apart and gives config to the command line alone', () => {
    const roles = ['issuer', 'admin', 'proxy']
    for (const role of roles) {
      expect(MAY_IMPORT[role]?.filter((folder) => roles.includes(folder))).toEqual([])
    }
    const readers = folders.filter((folder) => MAY_IMPORT[folder]?.includes('config'))
    expect(readers).toEqual(['cli'])
  })
})

describe('a forbidden edge is found', () => {
  const EDGE = 'src/proxy/x.ts → src/issuer/y.ts'

  test.each([
    ['a static import', `import { y } from '../issuer/y.ts'`],
    ['a type import', `import type { Y } from '../issuer/y.ts'`],
    ['an import of one type among values', `import { a, type Y } from '../issuer/y.ts'`],
    ['a namespace import', `import * as y from '../issuer/y.ts'`],
    ['an import over several lines', `import {\n  y, // from 'here'\n} from\n  '../issuer/y.ts'`],
    ['double quotes and no spaces', `import{y}from"../issuer/y.ts"`],
    ['an import for its side effect', `import '../issuer/y.ts'`],
    ['a dynamic import', `const { y } = await import('../issuer/y.ts')`],
    ['a dynamic import in a template', 'const t = `${await import(`../issuer/y.ts`)} and ${{}}`'],
    ['a type query', `type Y = import('../issuer/y.ts').Y`],
    ['a re-export', `export { y } from '../issuer/y.ts'`],
    ['a re-exported type', `export type { Y } from '../issuer/y.ts'`],
    ['a require', `createRequire(import.meta.url); require('../issuer/y.ts')`],
    ['a worker', `new Worker(new URL('../issuer/y.ts', import.meta.url))`],
    ['one after a quote in a comment', `// don't\nimport { y } from '../issuer/y.ts'`],
    ['one after a quote in a pattern', `const p = /['"\`/*]/\nexport { y } from '../issuer/y.ts'`],
    ['one after a division', `const h = a / 2 // it's / 2\nexport { y } from '../issuer/y.ts'`],
    ['a path with a detour', `import { y } from '../kernel/../issuer/y.ts'`],
  ])('as %s', (_title, source) => {
    expect(findBreaches({ 'src/proxy/x.ts': source })).toEqual([EDGE])
  })

  test.each([
    ['a comment', `// import { y } from '../issuer/y.ts'\n/* export * from '../issuer/y.ts' */`],
    ['a string', `const text = "import { y } from '../issuer/y.ts'"`],
    ['a template', "const text = `import { y } from '../issuer/y.ts' ${a} process.env`"],
    ['an object', `const o = { import: 1, from: '../issuer/y.ts', export: { default: 2 } }`],
    ['import.meta', `import.meta.main; const from = '../issuer/y.ts'`],
    ['an export of its own', `export { a, b }\nconst from = '../issuer/y.ts'`],
    ['the built-in modules', `import { env } from 'node:util'`],
    ['a neighbour', `import { y } from './y.ts'`],
  ])('but not in %s', (_title, source) => {
    expect(findBreaches({ 'src/proxy/x.ts': source })).toEqual([])
  })
})

describe('the other module rules', () => {
  test.each([
    [
      'an import that leaves src/',
      'src/cli/x.ts',
      `import { y } from '../../test/support/y.ts'`,
      'src/cli/x.ts → test/support/y.ts',
    ],
    [
      'a path without its ending',
      'src/cli/x.ts',
      `import { y } from './y'`,
      'src/cli/x.ts → src/cli/y does not end in .ts',
    ],
    [
      'a computed import',
      'src/cli/x.ts',
      'await import(`../issuer/${name}.ts`)',
      'src/cli/x.ts → a computed path',
    ],
    ['a file beside the folders', 'src/x.ts', '', 'src/x.ts is in no folder of the table'],
    ['a new folder', 'src/helpers/x.ts', '', 'src/helpers/x.ts is in no folder of the table'],
    ['a barrel', 'src/keys/index.ts', '', 'src/keys/index.ts is a barrel'],
    [
      'a re-export of everything',
      'src/keys/x.ts',
      `export * from './y.ts'`,
      'src/keys/x.ts re-exports a whole module',
    ],
    ['a default export', 'src/keys/x.ts', 'export default 1', 'src/keys/x.ts has a default export'],
    [
      'a renamed default export',
      'src/keys/x.ts',
      'export { x as default }',
      'src/keys/x.ts has a default export',
    ],
  ])('%s is found', (_title, path, source, breach) => {
    expect(findBreaches({ [path]: source })).toEqual([breach])
  })

  test.each([
    'const a = process.env.HOME',
    `const a = process['env']`,
    'const a = process?.env',
    'const { env } = process',
    `import { env } from 'node:process'`,
  ])('`%s` is found outside of config/load.ts', (source) => {
    expect(findBreaches({ 'src/cli/x.ts': source })).toEqual(['src/cli/x.ts reads the environment'])
    expect(findBreaches({ [READS_ENVIRONMENT]: source })).toEqual([])
  })

  test('process itself may be used', () => {
    const source = `process.stdout.write('process.env'); process.once('SIGTERM', stop)`
    expect(findBreaches({ 'src/cli/x.ts': source })).toEqual([])
  })

  test.each(Object.entries(PACKAGE_OWNERS))('%s is imported by its owners only', (name, owners) => {
    for (const specifier of [name, `${name}/sub/path.js`]) {
      const source = `import type { X } from '${specifier}'`
      for (const owner of owners) {
        const path = owner.endsWith('.ts') ? owner : `${owner}x.ts`
        expect(findBreaches({ [path]: source })).toEqual([])
      }
      expect(findBreaches({ 'src/cli/x.ts': source })).toEqual([
        `src/cli/x.ts → ${name}, which belongs to ${owners.join(' and ')}`,
      ])
    }
    expect(findBreaches({ 'src/store/sqlite.ts': `import '${name}'` })).toHaveLength(1)
  })

  test('a package whose name only begins like an owned one is free', () => {
    const source = `import a from 'koala'\nimport b from '@other/koa'\nimport c from 'jose-tools'`
    expect(findBreaches({ 'src/cli/x.ts': source })).toEqual([])
  })
})

test('the decisions in docs/adr are numbered once each, in their names and their titles', () => {
  const paths = globSync('docs/adr/*.md', { cwd: root }).sort()
  const titles = paths.map((path) => readFileSync(posix.join(root, path), 'utf8').split('.')[0])
  expect(paths.map((path) => Number(posix.basename(path).slice(0, 4)))).toEqual(
    paths.map((_path, i) => i + 1),
  )
  expect(titles).toEqual(paths.map((_path, i) => `# ${i + 1}`))
})
