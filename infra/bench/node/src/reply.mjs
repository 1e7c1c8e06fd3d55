// What surrounds every request: its id, its log line, secure headers, problem documents.

const SECURE = {
  'strict-transport-security': 'max-age=63072000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
};

/** An error that becomes a problem document. */
export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    Object.assign(this, { status, code, detail });
  }
}

/** Serves routes, each by its method and path: `(event) => [status, body]`. */
export const serve = (routes) => async (event, context) => {
  const started = performance.now();
  const { method, path } = event.requestContext.http;
  const id = event.headers['x-request-id'] ?? context.awsRequestId;
  const route = routes[`${method} ${path}`];
  let status;
  let body;
  let kind = 'application/json';
  try {
    if (!route) throw new Problem(404, 'not_found', 'there is no such route');
    [status, body] = await route(event);
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem(500, 'internal', 'something went wrong on our side');
    if (problem !== error) console.error(JSON.stringify({ level: 'ERROR', error: String(error?.stack ?? error) }));
    status = problem.status;
    kind = 'application/problem+json';
    body = {
      type: `urn:countinghouse:problem:${problem.code}`, title: problem.code, status, detail: problem.detail,
      code: problem.code, requestId: id,
    };
  }
  process.stderr.write(`${JSON.stringify({
    timestamp: new Date().toISOString(), level: 'INFO', message: 'answered', 'http.request.method': method,
    'http.route': path, 'http.response.status_code': status, 'request.id': id, duration_ms: performance.now() - started,
  })}\n`);
  return {
    statusCode: status,
    headers: { ...SECURE, 'content-type': kind, 'x-request-id': id },
    body: JSON.stringify(body),
    isBase64Encoded: false,
  };
};
