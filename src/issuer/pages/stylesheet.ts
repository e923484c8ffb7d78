import { createHash } from 'node:crypto'
import type { Context, Next } from 'koa'

const INK = `
  --paper: #fbfaf7; --raised: #f1eee6; --ink: #1c2422; --muted: #55605c; --line: #8b9490;
  --accent: #1d5c4d; --on-accent: #fff; --accent-strong: #134437; --gate: #173f36; --on-gate: #f3efe4;
  --arch: #5f9384; --alarm: #9b2c1f; --alarm-ground: #fbeeea; --focus: #b4610a;`
const NIGHT = `
  --paper: #131817; --raised: #1d2422; --ink: #ecebe5; --muted: #aab5b0; --line: #6f7b77;
  --accent: #8fd1bd; --on-accent: #0c211b; --accent-strong: #b3e3d4; --gate: #0d2620; --on-gate: #eae6da;
  --arch: #3f7365; --alarm: #ffb4a6; --alarm-ground: #36201c; --focus: #f2b35f;`

/** All pages in one file. Sizes are in rem, so that they follow the reader's own font size and zoom. */
const STYLESHEET = `:root {${INK}
  color-scheme: light dark;
  --serif: ui-serif, "Iowan Old Style", "Palatino Linotype", Palatino, Charter, "Songti SC", "Noto Serif CJK SC",
    "Source Han Serif SC", SimSun, "Liberation Serif", Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC",
    "Liberation Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace;
}
@media (prefers-color-scheme: dark) { :root {${NIGHT} } }
*, *::before, *::after { box-sizing: border-box; }
html { font: 100%/1.55 var(--sans); color: var(--ink); background: var(--paper); -webkit-text-size-adjust: 100%; }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: flex; flex-direction: column; }
:lang(zh) { line-height: 1.7; }
.gate { position: relative; overflow: hidden; display: flex; align-items: center; gap: .75rem;
  padding: .875rem 1.5rem; color: var(--on-gate); background: var(--gate); }
.gate p { margin: 0; }
.arches { width: 1.75rem; height: 1.75rem; flex: none; fill: none; stroke: currentColor; stroke-width: 7; }
.name { font: 600 1.125rem/1.2 var(--serif); letter-spacing: .01em; }
.motto { display: none; }
main { width: 100%; max-width: 30rem; margin: 0 auto; padding: 2rem 1.5rem 3rem; overflow-wrap: anywhere; }
h1 { margin: 0 0 .5rem; font: 500 2rem/1.2 var(--serif); letter-spacing: -.01em; text-wrap: balance; }
h1:lang(zh) { font-weight: 600; font-size: 1.75rem; line-height: 1.35; letter-spacing: 0; }
h2 { margin: 0 0 .25rem; font: 600 1rem/1.4 var(--sans); }
p { margin: 0 0 1rem; }
.lead { margin-bottom: 1.5rem; font-size: 1.0625rem; color: var(--muted); }
.lead strong { color: var(--ink); font-weight: 600; }
.note { margin: 1rem 0 0; font-size: .9375rem; color: var(--muted); }
form { margin: 0; }
.field { margin: 0 0 1.25rem; }
label { display: block; margin: 0 0 .375rem; font-weight: 600; }
.hint { margin: -.125rem 0 .5rem; font-size: .9375rem; color: var(--muted); }
input { width: 100%; min-height: 3rem; padding: .5rem .875rem; font: inherit; color: inherit;
  background: var(--paper); border: 1px solid var(--line); border-radius: .375rem; }
input[aria-invalid] { border-color: var(--alarm); box-shadow: inset 0 0 0 1px var(--alarm); }
.code-field { max-width: 18rem; min-height: 3.5rem; font: 600 1.5rem/1.2 var(--mono); letter-spacing: .14em;
  text-transform: uppercase; }
.actions { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.75rem; }
button, .button { flex: 1 1 11rem; min-height: 3rem; padding: .625rem 1.25rem; font: 600 1rem/1.3 var(--sans);
  color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: .375rem;
  cursor: pointer; text-align: center; text-decoration: none; transition: background-color .15s, border-color .15s; }
button:hover { background: var(--accent-strong); border-color: var(--accent-strong); }
button.quiet, .button.quiet { color: var(--ink); background: transparent; border-color: var(--line); }
button.quiet:hover, .button.quiet:hover { background: var(--raised); border-color: var(--ink); }
.button { display: inline-flex; align-items: center; justify-content: center; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.problem { margin: 1rem 0 1.5rem; padding: .875rem 1rem; color: var(--ink); background: var(--alarm-ground);
  border-inline-start: 4px solid var(--alarm); border-radius: 0 .375rem .375rem 0; }
.problem h2 { color: var(--alarm); }
.problem p, .warning p { margin: 0; }
.warning { margin: 1.5rem 0 0; padding: .875rem 1rem; background: var(--raised);
  border-inline-start: 4px solid var(--focus); border-radius: 0 .375rem .375rem 0; }
ul { margin: .5rem 0 1.5rem; padding: 0; list-style: none; }
li { position: relative; padding: .5rem 0 .5rem 1.875rem; }
li + li { border-top: 1px solid color-mix(in srgb, var(--line) 35%, transparent); }
li::before { content: ""; position: absolute; inset-inline-start: .25rem; top: 1rem; width: .75rem; height: .4rem;
  border: solid var(--accent); border-width: 0 0 2px 2px; transform: rotate(-45deg); }
code { font-family: var(--mono); font-size: .9em; }
dl { margin: 0 0 1.25rem; padding: .375rem 1rem; font-size: .9375rem; background: var(--raised); border-radius: .375rem; }
dl div { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .375rem 0; }
dt { flex: 0 0 7.5rem; color: var(--muted); }
dd { flex: 1 1 10rem; margin: 0; }
.user-code { display: block; margin: 0 0 1.5rem; padding: 1rem; font: 600 2rem/1.2 var(--mono); letter-spacing: .12em;
  text-align: center; background: var(--raised); border-radius: .375rem; }
details { margin-top: 2rem; }
summary { min-height: 2.75rem; padding: .625rem 0; color: var(--muted); cursor: pointer; }
details dl { margin-top: .25rem; }
@media (min-width: 56rem) {
  body { flex-direction: row; }
  .gate { position: sticky; top: 0; align-self: flex-start; flex: 0 0 34%; max-width: 30rem; height: 100vh; flex-direction: column; align-items: flex-start;
    justify-content: flex-start; gap: .25rem; padding: 3.5rem 3rem; }
  .arches { position: absolute; bottom: 0; left: 12%; width: 76%; height: auto; color: var(--arch); stroke-width: 1.25; }
  .name { font-size: 1.75rem; }
  .motto { display: block; font: italic 1.0625rem/1.5 var(--serif); opacity: .9; }
  .motto:lang(zh) { font-style: normal; letter-spacing: .05em; }
  main { margin: auto; padding: 3.5rem 3rem; max-width: 36rem; }
  h1 { font-size: 2.5rem; }
  h1:lang(zh) { font-size: 2.125rem; }
}
@media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
@media (forced-colors: active) { .problem, .warning { border: 1px solid; } }
`

const VERSION = createHash('sha256').update(STYLESHEET).digest('base64url').slice(0, 16)
const ETAG = `"${VERSION}"`

export const STYLESHEET_PATH = '/pages.css'
export const STYLESHEET_URL = `${STYLESHEET_PATH}?v=${VERSION}`

/** The stylesheet: kept for long under the version that the pages name, asked for anew under any other. */
export function serveStylesheet(ctx: Context, next: Next): Promise<void> | void {
  if (ctx.path !== STYLESHEET_PATH) return next()
  ctx.set({
    etag: ETAG,
    'cache-control':
      ctx.query['v'] === VERSION ? 'public, max-age=31536000, immutable' : 'no-cache',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
  })
  ctx.type = 'text/css'
  if (ctx.get('if-none-match').includes(ETAG)) ctx.status = 304
  else ctx.body = STYLESHEET
}
