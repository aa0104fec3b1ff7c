// An HTTP server with timers, a worker thread and a growing and shrinking heap. GET /N gives the bytes that only N determines.
'use strict';
const crypto = require('crypto');
const http = require('http');
const { Worker, isMainThread, parentPort } = require('worker_threads');

if (!isMainThread) {
  // Answers with a digest, from another event loop.
  parentPort.on('message', ({ id, text }) => parentPort.postMessage({ id, digest: crypto.createHash('sha256').update(text).digest('hex') }));
} else {
  const worker = new Worker(__filename);
  const waiting = new Map();
  let next = 0;
  let ticks = 0;
  let kept = [];
  worker.on('message', ({ id, digest }) => { waiting.get(id)(digest); waiting.delete(id); });
  setInterval(() => { ticks++; kept.push(Buffer.alloc(20000, ticks)); if (kept.length > 500) kept = kept.slice(400); }, 5);
  setInterval(() => {
    for (const buffer of kept) if (buffer[0] !== buffer[buffer.length - 1]) { console.error('a buffer is damaged'); process.exit(1); }
  }, 50);
  const server = http.createServer((request, response) => {
    if (request.url === '/ticks') { response.end(String(ticks)); return; }
    const id = next++;
    waiting.set(id, (digest) => setTimeout(() => response.end(digest.repeat(Number(request.url.slice(1)) % 300)), 1));
    worker.postMessage({ id, text: request.url });
  });
  server.keepAliveTimeout = 3600000;
  server.requestTimeout = 0;
  server.listen(Number(process.argv[2]), '127.0.0.1');
}
