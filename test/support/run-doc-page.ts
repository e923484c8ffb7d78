import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { access, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { expectedRefusals, type DocBlock } from './doc-blocks.ts'
import { root } from './markdown.ts'

const TOOLS = fileURLToPath(new URL('docs-session', import.meta.url))
export const PAGE_TIMEOUT_MS = 600_000
const packageSchema = z.object({ scripts: z.record(z.string(), z.string()) })

/** Other commands look at files only. */
const NEEDS_SERVER =
  /localhost:(?:8080|8081|900[012])\b|gatehouse -- (?:status|keys|tenants|clients|users|tokens issue|tokens explain|revoke|audit|usage|backup|ocr)/

/** Where the bundled OCR engine reads, as it does for who has no model server. */
const WITH_BUNDLED_OCR = new Set(['README.md', 'README.zh-CN.md'])

const succeeds = (program: string, ...args: string[]) => spawnSync(program, args).status === 0
const pathOf = (program: string) =>
  spawnSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).stdout.trim()
export const isThere = (program: string): boolean => pathOf(program) !== ''

/** Namespaces of its own: every page has the ports that it names for itself, and leaves no process behind. */
const ISOLATED = ['--net', '--pid', '--fork', '--kill-child', '--mount-proc']
const asRoot = succeeds('unshare', ...ISOLATED, 'ip', 'link', 'set', 'lo', 'up')
const asUser =
  !asRoot && succeeds('unshare', '--map-root-user', ...ISOLATED, 'ip', 'link', 'set', 'lo', 'up')
const isolation = asUser ? ['--map-root-user', ...ISOLATED] : ISOLATED

/** Why no page can be run on this machine. */
export const whyNot: string | undefined =
  asRoot || asUser
    ? ['curl', 'jq'].find((program) => !isThere(program))?.concat(' is not on the PATH')
    : 'there are no namespaces here (unshare, ip)'

/** What went wrong in a page: where, and what was printed there. Undefined when nothing did. */
export async function runDocPage(blocks: readonly DocBlock[]): Promise<string | undefined> {
  const session = await mkdtemp(join(tmpdir(), 'gatehouse-docs-'))
  try {
    const page = blocks[0]?.page ?? ''
    const folder = await copyRepository(session)
    const order = await writeSession(session, withServers(blocks))
    const child = spawn('unshare', [...isolation, 'bash', join(TOOLS, 'run-page.sh')], {
      cwd: page.startsWith('examples/') ? join(folder, dirname(page)) : folder,
      env: {
        PATH: [join(TOOLS, 'bin'), dirname(process.execPath), process.env['PATH']].join(delimiter),
        HOME: join(session, 'home'),
        LANG: 'C.UTF-8',
        SESSION: session,
        PACKAGE: folder,
        REAL_NPM: pathOf('npm'),
        REAL_CURL: pathOf('curl'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: PAGE_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    })
    let printed = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (part) => (printed += String(part)))
    }
    const [code] = (await once(child, 'close')) as [number | null]
    return code === 0 ? undefined : await describeFailure(session, order, `${printed}(${code})`)
  } finally {
    await rm(session, { recursive: true, force: true })
  }
}

/** What a reader has after `npm ci`: what commands change is a copy, the rest is linked. */
async function copyRepository(session: string): Promise<string> {
  const folder = join(session, 'gatehouse')
  await mkdir(join(session, 'home'), { recursive: true })
  await mkdir(join(folder, 'keys'), { recursive: true })
  for (const name of ['package.json', 'examples', 'deploy', 'docker-compose.yml']) {
    const isPresent = await access(join(root, name)).then(
      () => true,
      () => false,
    )
    if (isPresent) await cp(join(root, name), join(folder, name), { recursive: true })
  }
  for (const name of ['node_modules', 'src', 'test', 'docs', 'bench', 'README.md']) {
    await symlink(join(root, name), join(folder, name))
  }
  return folder
}

/**
 * A page that starts no Gatehouse takes one for granted, from where it is first needed, and a model server that answers at
 * once unless the page is about the engine that comes with it.
 */
function withServers(blocks: readonly DocBlock[]): DocBlock[] {
  const page = blocks[0]?.page ?? ''
  const server = {
    page,
    line: 0,
    needs: [],
    isShown: false,
    kind: 'server',
    isInstead: false,
  } as const
  const model: DocBlock = { ...server, text: `node ${join(TOOLS, 'model.ts')}\n`, port: '8000' }
  const gatehouse: DocBlock = { ...server, text: `cd "$PACKAGE"\nnpm start\n`, port: undefined }
  const isNeeded = blocks.some(({ text }) => NEEDS_SERVER.test(text))
  const first = blocks.findIndex(({ kind, text }) => kind === 'server' || NEEDS_SERVER.test(text))
  const isServed = blocks.some(
    ({ kind, text }) => kind === 'server' && /npm start|gatehouse -- /.test(text),
  )
  if (isServed) return WITH_BUNDLED_OCR.has(page) ? [...blocks] : [model, ...blocks]
  return !isNeeded
    ? [...blocks]
    : [...blocks.slice(0, first), model, gatehouse, ...blocks.slice(first)]
}

/** The blocks as files; by their names. */
async function writeSession(
  session: string,
  blocks: readonly DocBlock[],
): Promise<Map<string, DocBlock>> {
  const { scripts } = packageSchema.parse(
    JSON.parse(await readFile(join(root, 'package.json'), 'utf8')),
  )
  for (const folder of ['blocks', 'logs', 'scripts']) await mkdir(join(session, folder))
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(session, 'scripts', name), script)
  }
  const named = new Map<string, DocBlock>()
  for (const [index, block] of blocks.entries()) {
    const name = `${String(index).padStart(3, '0')}.${block.kind === 'server' ? 'server' : 'run'}`
    const file = join(session, 'blocks', name)
    named.set(name, block)
    await writeFile(file, block.text)
    await writeFile(`${file}.refused`, expectedRefusals(block.text).sort().join(' '))
    if (block.kind !== 'server') continue
    if (block.isInstead) await writeFile(`${file}.instead`, '')
    if (block.port !== undefined) await writeFile(`${file}.port`, block.port)
  }
  return named
}

async function describeFailure(
  session: string,
  order: ReadonlyMap<string, DocBlock>,
  printed: string,
): Promise<string> {
  const read = (file: string) => readFile(join(session, file), 'utf8').catch(() => '')
  const name = (await read('current')).trim()
  const block = order.get(name)
  const servers = [...order.keys()].filter((each) => each.endsWith('.server') && each !== name)
  return [
    `${block?.page}:${block?.line}: ${(await read('failed')).trim()}`,
    block?.text,
    await read(`logs/${name}`),
    ...(await Promise.all(servers.map(async (each) => (await read(`logs/${each}`)).slice(-1000)))),
    printed,
  ].join('\n')
}
