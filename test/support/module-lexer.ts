/** What a TypeScript file says to the outside, read without running or compiling it. */
export type ModuleFacts = {
  /** Everything that it names to be loaded, types and dynamic imports included; `undefined` when that is computed. */
  specifiers: (string | undefined)[]
  hasDefaultExport: boolean
  reexportsEverything: boolean
  readsEnvironment: boolean
}

type Token = { kind: 'word' | 'string' | 'mark'; text: string }

/** Reads import and export declarations, `import()`, `require()`, `new URL('….ts', import.meta.url)`, process.env. */
export function readModule(source: string): ModuleFacts {
  const tokens = tokenize(source)
  const facts: ModuleFacts = {
    specifiers: [],
    hasDefaultExport: false,
    reexportsEverything: false,
    readsEnvironment: false,
  }
  for (const [at, token] of tokens.entries()) {
    if (token.kind !== 'word' || isMark(tokens[at - 1], '.')) continue
    switch (token.text) {
      case 'import':
        readImport(tokens, at, facts)
        break
      case 'export':
        readExport(tokens, at, facts)
        break
      case 'require':
        if (isMark(tokens[at + 1], '(')) readCall(tokens, at + 2, facts)
        break
      case 'URL':
        readUrl(tokens, at, facts)
        break
      case 'process':
        if (isEnvironment(tokens, at)) facts.readsEnvironment = true
        break
      default:
    }
  }
  if (facts.specifiers.some((name) => name === 'process' || name === 'node:process')) {
    facts.readsEnvironment = true
  }
  return facts
}

function readImport(tokens: readonly Token[], at: number, facts: ModuleFacts): void {
  const next = tokens[at + 1]
  if (next?.kind === 'string') facts.specifiers.push(next.text)
  else if (isMark(next, '(')) readCall(tokens, at + 2, facts)
  else if (next !== undefined && !isMark(next, '.')) readFrom(tokens, at + 1, facts)
}

function readExport(tokens: readonly Token[], at: number, facts: ModuleFacts): void {
  let start = at + 1
  if (isWord(tokens[start], 'default')) facts.hasDefaultExport = true
  if (isWord(tokens[start], 'type')) start += 1
  if (isMark(tokens[start], '*')) facts.reexportsEverything = true
  else if (!isMark(tokens[start], '{')) return
  const end = readFrom(tokens, start, facts)
  const clause = tokens.slice(start, end)
  if (clause.some((token, i) => isWord(token, 'default') && isWord(clause[i - 1], 'as'))) {
    facts.hasDefaultExport = true
  }
}

/** The `{ … } from '…'` part, as long as it can be one; gives where it ends. */
function readFrom(tokens: readonly Token[], start: number, facts: ModuleFacts): number {
  for (let at = start; at < tokens.length; at += 1) {
    const token = tokens[at]
    const next = tokens[at + 1]
    if (isWord(token, 'from') && next?.kind === 'string') {
      facts.specifiers.push(next.text)
      return at
    }
    if (token?.kind === 'mark' && !'{},*'.includes(token.text)) return at
    if (isMark(token, '}') && !isWord(next, 'from')) return at
  }
  return tokens.length
}

function readCall(tokens: readonly Token[], at: number, facts: ModuleFacts): void {
  const [argument, next] = [tokens[at], tokens[at + 1]]
  const isLiteral = argument?.kind === 'string' && (isMark(next, ')') || isMark(next, ','))
  facts.specifiers.push(isLiteral ? argument.text : undefined)
}

function readUrl(tokens: readonly Token[], at: number, facts: ModuleFacts): void {
  const [open, path, comma, base, , meta] = tokens.slice(at + 1, at + 7)
  const isOfModule =
    isMark(open, '(') && isMark(comma, ',') && isWord(base, 'import') && isWord(meta, 'meta')
  if (isOfModule && path?.kind === 'string' && path.text.endsWith('.ts')) {
    facts.specifiers.push(path.text)
  }
}

function isEnvironment(tokens: readonly Token[], at: number): boolean {
  const [first, second, third] = tokens.slice(at + 1, at + 4)
  if (isMark(first, '.')) return isWord(second, 'env')
  if (isMark(first, '?')) return isMark(second, '.') && isWord(third, 'env')
  if (isMark(first, '[')) return second?.kind === 'string' && second.text === 'env'
  return isMark(tokens[at - 1], '=') && isMark(tokens[at - 2], '}')
}

const isWord = (token: Token | undefined, text: string): boolean =>
  token?.kind === 'word' && token.text === text
const isMark = (token: Token | undefined, text: string): boolean =>
  token?.kind === 'mark' && token.text === text

const SPACE_OR_COMMENT = /(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)+/y
const WORD = /[\p{ID_Continue}$]+/uy
const STRING = /'(?:[^'\\\n]|\\[^])*'|"(?:[^"\\\n]|\\[^])*"/y
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y
const TEMPLATE_TEXT = /(?:[^`\\$]|\\[^]|\$(?!\{))*/y
/** After these words, a slash begins a regular expression; after any other, it divides. */
const OPERATORS = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'void',
  'await',
  'yield',
  'else',
])

/** Words, strings and single marks; comments, regular expressions and the text of templates are left out. */
function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  /** For each template that is open: how many braces are open in its `${`. */
  const templates: number[] = []
  let at = 0

  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const text = pattern.exec(source)?.[0]
    if (text !== undefined) at += text.length
    return text
  }
  const takeTemplateText = (isStart: boolean) => {
    const text = take(TEMPLATE_TEXT) ?? ''
    if (source[at] === '`') {
      at += 1
      tokens.push(isStart ? { kind: 'string', text } : { kind: 'mark', text: '`' })
    } else {
      at += 2
      templates.push(0)
      tokens.push({ kind: 'mark', text: '`' })
    }
  }

  while (at < source.length) {
    if (take(SPACE_OR_COMMENT) !== undefined) continue
    const word = take(WORD)
    if (word !== undefined) {
      tokens.push({ kind: 'word', text: word })
      continue
    }
    const string = take(STRING)
    if (string !== undefined) {
      tokens.push({ kind: 'string', text: string.slice(1, -1) })
      continue
    }
    const mark = source[at] ?? ''
    if (mark === '/' && mayBeRegex(tokens.at(-1)) && take(REGEX) !== undefined) {
      tokens.push({ kind: 'mark', text: '/' }, { kind: 'word', text: '0' })
      continue
    }
    at += 1
    const open = templates.at(-1)
    if (mark === '`') takeTemplateText(true)
    else if (mark === '}' && open === 0) {
      templates.pop()
      takeTemplateText(false)
    } else {
      if (open !== undefined && mark === '{') templates[templates.length - 1] = open + 1
      if (open !== undefined && mark === '}') templates[templates.length - 1] = open - 1
      tokens.push({ kind: 'mark', text: mark })
    }
  }
  return tokens
}

function mayBeRegex(before: Token | undefined): boolean {
  if (before === undefined) return true
  if (before.kind === 'word') return OPERATORS.has(before.text)
  return before.kind === 'mark' && !')]}`'.includes(before.text)
}
