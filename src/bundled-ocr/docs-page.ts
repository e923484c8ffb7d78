import { ENGINE_NOTE, MODEL } from './identity.ts'

/** Goes with the page: it needs nothing but its own style. */
export const DOCS_CONTENT_SECURITY_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

/** The page for people; `/openapi.json` is the same for programs. */
export const DOCS_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Gatehouse bundled OCR</title>
<style>
  body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
  pre { padding: 1rem; overflow-x: auto; background: #f3f3f0; }
  td { padding: .2rem 1rem .2rem 0; vertical-align: top; }
</style>
<h1>Gatehouse bundled OCR</h1>
<p>${ENGINE_NOTE} It reads English and Chinese.</p>
<table>
  <tr><td><code>POST /v1/chat/completions</code><td>OpenAI’s shape, model <code>${MODEL}</code>, also streamed
  <tr><td><code>POST /ocr/infer</code><td>the plain shape, JSON or a form with a file
  <tr><td><code>GET /v1/models</code><td>the model’s name
  <tr><td><code>GET /health</code><td>who answers, and whether the engine has loaded
  <tr><td><a href="/openapi.json"><code>GET /openapi.json</code></a><td>this API for programs
</table>
<h2>A file</h2>
<pre>curl -F image=@receipt.jpg http://localhost:8000/ocr/infer</pre>
<h2>In OpenAI’s shape</h2>
<pre>{
  "model": "${MODEL}",
  "messages": [{"role": "user", "content": [
    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,…"}},
    {"type": "text", "text": "Extract the text in the image."}
  ]}],
  "stream": true
}</pre>
<p>Images are PNG, JPEG, WebP or BMP, at most 40 megapixels, and always part of the request: nothing is fetched.
HunyuanOCR’s prompt «检测并识别图片中的文字，将文本坐标格式化输出。» gives each line with its coordinates, from 0
to 1000. Errors are problem+json with OpenAI’s <code>error</code> member.</p>
</html>
`
