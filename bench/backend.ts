import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LOAD_CORE, SERVER_CORE, waitFor, type Lab } from './lab.ts'

/** An answer of 538 bytes, as a model server gives for a small picture. */
const ANSWER = JSON.stringify({
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'x'.repeat(392) } }],
  usage: { prompt_tokens: 812, completion_tokens: 96, total_tokens: 908 },
})

/** The model server's stand-in: one nginx process that answers from memory, next to the load generator. */
export async function startBackend(lab: Lab, port: number): Promise<number> {
  // `return` answers before a large body has arrived, so uploads are read in full first, then answered by a hop inside.
  const inner = `unix:${join(lab.dir, 'backend.sock')}`
  const answers = `default_type application/json; location / { return 200 '${ANSWER}'; }`
  const pid = startNginx(lab, 'backend', {
    core: LOAD_CORE,
    http: `
      upstream inner { server ${inner}; keepalive 64; }
      server { listen ${inner}; keepalive_requests 1000000000; ${answers} }
      server {
        listen 127.0.0.1:${port};
        keepalive_requests 1000000000;
        ${answers}
        location /ocr/infer {
          client_body_buffer_size 33m;
          proxy_pass http://inner;
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_pass_request_body off;
          proxy_set_header Content-Length "";
        }
      }`,
  })
  await waitFor(`http://127.0.0.1:${port}/`)
  return pid
}

/** nginx as a proxy that streams uploads and verifies nothing. */
export function startNginxProxy(lab: Lab, port: number, backendPort: number): number {
  return startNginx(lab, 'nginx-proxy', {
    core: SERVER_CORE,
    http: `
      upstream backend { server 127.0.0.1:${backendPort}; keepalive 64; }
      server {
        listen 127.0.0.1:${port};
        keepalive_requests 1000000000;
        location / {
          proxy_pass http://backend;
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_request_buffering off;
          proxy_buffering off;
          proxy_read_timeout 600s;
        }
      }`,
  })
}

function startNginx(lab: Lab, name: string, { core, http }: { core: number; http: string }) {
  const dir = join(lab.dir, name)
  mkdirSync(dir)
  const configFile = join(dir, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${dir}/${kind};`)
    .join(' ')
  writeFileSync(
    configFile,
    `daemon off; master_process off; pid ${dir}/nginx.pid; error_log stderr warn;
    events { worker_connections 16384; }
    http { access_log off; client_max_body_size 64m; ${temporary} ${http} }`,
  )
  return lab.start(name, ['nginx', '-p', dir, '-c', configFile], { core })
}
