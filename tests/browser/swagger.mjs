// Swagger UI at /docs, used as a person would: a real browser against the real binary.
//
// Started by scripts/test, which says where things are:
//   COST_KEEPER_BIN  the binary to serve with
//   BROWSER_TOOLS    a directory whose node_modules holds playwright-core
//   CHROMIUM         the browser
//   BROWSER_OUT      where screenshots and the server's log go
//
// The service gets an empty data directory and a free port. Closing line: "N passed, N failed".

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

const setting = (name) => process.env[name] ?? fail(`${name} is not set; start this through scripts/test`);
const fail = (message) => {
  console.error(`browser check: ${message}`);
  process.exit(2);
};

const BINARY = path.resolve(setting('COST_KEEPER_BIN'));
const TOOLS = path.resolve(setting('BROWSER_TOOLS'));
const CHROMIUM = setting('CHROMIUM');
const OUT = path.resolve(setting('BROWSER_OUT'));
// Under load a browser takes its time to start; a check that hangs is ended well before whoever runs this loses patience.
const START_MS = 60_000;
const STEP_MS = 20_000;
const TOTAL_MS = 5 * 60_000;

const { chromium } = createRequire(`${TOOLS}/`)('playwright-core');

// The ids that the document itself uses as examples, so that its examples are what is tried.
const ORG = '550e8400-e29b-41d4-a716-446655440000';
const APP = 'chat';

// ---- The service ----------------------------------------------------------------------------------------------------

async function startService(dir) {
  // Nobody's configuration but our own: no environment of the caller, no file in the working directory.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('COST_KEEPER_')));
  const args = ['serve', '--listen', '127.0.0.1:0', '--data-dir', path.join(dir, 'data')];
  const child = spawn(BINARY, args, { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const log = createWriteStream(path.join(OUT, 'server.log'));
  child.stderr.pipe(log);
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const base = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the service did not say its address in ${START_MS} ms`)), START_MS);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the service ended at once (${code}); see ${OUT}/server.log`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /^\s*API\s+(http:\/\/127\.0\.0\.1:\d+)\//.exec(line);
      if (found) {
        clearTimeout(timer);
        resolve(found[1]);
      }
    });
  });
  const key = (await readFile(path.join(dir, 'data', 'secrets', 'provisioning-key'), 'utf8')).trim();
  const stop = async () => {
    child.kill('SIGTERM');
    return exited;
  };
  return { base, key, stop };
}

async function put(service, where, body) {
  const response = await fetch(service.base + where, {
    method: 'PUT',
    headers: { 'X-API-Key': service.key, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 201, await response.clone().text());
  return (await response.json()).credentials;
}

async function provision(service) {
  await put(service, `/api/v1/orgs/${ORG}`, {
    org_name: 'Acme',
    timezone: 'America/New_York',
    quota_scope: 'APP',
    model_ordering: ['premium', 'standard', 'economy'],
    quotas: { premium: 10_000_000, standard: 5_000_000, economy: 1_000_000 },
    secret_delivery: 'inline',
  });
  return put(service, `/api/v1/orgs/${ORG}/apps/${APP}`, { app_name: 'Support chat', secret_delivery: 'inline' });
}

// ---- Checks ---------------------------------------------------------------------------------------------------------

const results = { passed: 0, failed: 0 };

async function check(name, body) {
  try {
    await body();
    results.passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    results.failed += 1;
    console.log(`FAILED  ${name}\n        ${String(error.message ?? error).split('\n').slice(0, 8).join('\n        ')}`);
  }
}

const isLocal = (url, base) => url.startsWith(`${base}/`) || url.startsWith('data:') || url.startsWith('blob:');

// What the page does, watched from before its first request.
function watch(context, base) {
  const seen = { requests: [], elsewhere: [], problems: [] };
  const add = (page) => {
    page.on('request', (request) => {
      seen.requests.push({ method: request.method(), url: request.url(), headers: request.headers() });
      if (!isLocal(request.url(), base)) seen.elsewhere.push(request.url());
    });
    page.on('websocket', (socket) => seen.elsewhere.push(socket.url()));
    page.on('response', (response) => {
      // Answers of the API are judged where they are asked for; the page's own parts must all be there.
      if (response.status() >= 400 && response.url().includes('/docs')) {
        seen.problems.push(`${response.status()} ${response.url()}`);
      }
    });
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) seen.problems.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => seen.problems.push(`page: ${error.message}`));
  };
  context.pages().forEach(add);
  context.on('page', add);
  return seen;
}

const operation = (page, id) => page.locator(`.opblock[id$="-${id}"]`);

async function open(page, id) {
  const block = operation(page, id);
  if (!(await block.getAttribute('class')).split(' ').includes('is-open')) {
    await block.locator('.opblock-summary-control').click();
    await block.locator('.execute').waitFor();
  }
  return block;
}

// Presses Execute and reads what the page shows of the answer. Fields keep the example they are filled with.
async function execute(page, id, fields = {}) {
  const block = await open(page, id);
  for (const [name, value] of Object.entries(fields)) {
    await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
  }
  await block.locator('.execute').click();
  const live = block.locator('.live-responses-table .response').first();
  await live.waitFor();
  const status = (await live.locator('.response-col_status').first().innerText()).trim().split(/\s/)[0];
  const body = await live.locator('.highlight-code').first().innerText();
  return { status, body, block };
}

async function openDialog(page) {
  await page.locator('.auth-wrapper .btn.authorize').first().click();
  await page.locator('.dialog-ux .modal-ux-content').waitFor();
  return page.locator('.dialog-ux');
}

const container = (dialog, name) => dialog.locator('.auth-container').filter({ hasText: name });
const closeDialog = (dialog) => dialog.locator('.close-modal').click();

// ---- The run --------------------------------------------------------------------------------------------------------

async function run(service, context) {
  const seen = watch(context, service.base);
  const client = await provision(service);
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(STEP_MS);
  const shot = (name, options) => page.screenshot({ path: path.join(OUT, `${name}.png`), ...options });
  const lastTo = (part) => seen.requests.findLast((request) => request.url.includes(part));

  await check('/docs renders', async () => {
    await page.goto(`${service.base}/docs`);
    await page.locator('.opblock').first().waitFor({ timeout: START_MS });
    assert.match(await page.locator('.info .title').innerText(), /Bedrock Cost Keeper/);
    await shot('1-docs', { fullPage: true });
  });

  await check('every tag lists its operations', async () => {
    const document = await (await fetch(`${service.base}/openapi.json`)).json();
    const expected = new Map(document.tags.map(({ name }) => [name, 0]));
    for (const methods of Object.values(document.paths)) {
      for (const { operationId, tags } of Object.values(methods)) {
        expected.set(tags[0], (expected.get(tags[0]) ?? 0) + 1);
        assert.equal(await operation(page, operationId).count(), 1, `${operationId} is not listed`);
      }
    }
    for (const [tag, operations] of expected) {
      const section = page.locator('.opblock-tag-section').filter({ has: page.locator(`[data-tag="${tag}"]`) });
      assert.equal(await section.locator('.opblock').count(), operations, `operations under ${tag}`);
      assert.ok(operations > 0, `${tag} has no operations`);
    }
  });

  await check('without credentials a provisioning GET is answered with 401', async () => {
    const { status, body } = await execute(page, 'list_orgs');
    assert.equal(status, '401', body);
    assert.match(body, /UNAUTHORIZED/);
  });

  await check('the Authorize dialog takes the provisioning key', async () => {
    const dialog = await openDialog(page);
    const form = container(dialog, 'api_key');
    await form.locator('input').fill(service.key);
    await shot('2-authorize');
    await form.locator('button.authorize').click();
    await form.getByRole('button', { name: 'Remove authorization' }).waitFor();
    await closeDialog(dialog);
  });

  await check('with the key a provisioning GET is executed', async () => {
    const { status, body, block } = await execute(page, 'list_orgs');
    assert.equal(status, '200', body);
    assert.ok(body.includes(ORG), body);
    assert.equal(lastTo('/api/v1/orgs').headers['x-api-key'], service.key);
    await block.scrollIntoViewIfNeeded();
    await shot('3-list-orgs');
  });

  await check('the example bodies of the provisioning PUTs are accepted as they are', async () => {
    const org = await execute(page, 'put_org');
    assert.equal(org.status, '200', org.body);
    const app = await execute(page, 'put_app');
    assert.equal(app.status, '200', app.body);
  });

  await check('the Authorize dialog fetches a token for client id and secret', async () => {
    const dialog = await openDialog(page);
    await container(dialog, 'api_key').getByRole('button', { name: 'Remove authorization' }).click();
    const form = container(dialog, 'clientCredentials');
    await form.locator('#client_id_clientCredentials').fill(client.client_id);
    await form.locator('#client_secret_clientCredentials').fill(client.client_secret);
    await form.getByText('select all').click();
    await form.locator('button.authorize').click();
    await form.getByRole('button', { name: 'Remove authorization' }).waitFor();
    await form.scrollIntoViewIfNeeded();
    await shot('4-authorized-client');
    await closeDialog(dialog);
    assert.equal(lastTo('/auth/token').method, 'POST');
  });

  await check('with the token a model selection is executed', async () => {
    const { status, body, block } = await execute(page, 'select_model');
    assert.equal(status, '200', body);
    assert.match(body, /"label": "premium"/);
    const { headers } = lastTo('/model-selection');
    assert.match(headers.authorization ?? '', /^Bearer /);
    assert.equal(headers['x-api-key'], undefined);
    await block.scrollIntoViewIfNeeded();
    await shot('5-model-selection');
  });

  await check('the example usage and cost are accepted as they are', async () => {
    const usage = await execute(page, 'submit_usage');
    assert.equal(usage.status, '202', usage.body);
    await usage.block.scrollIntoViewIfNeeded();
    await shot('6-usage');
    const cost = await execute(page, 'submit_cost');
    assert.equal(cost.status, '202', cost.body);
  });

  await check('the spend of today shows it', async () => {
    const { status, body } = await execute(page, 'get_app_aggregates_today');
    assert.equal(status, '200', body);
    assert.match(body, /"requests": 2/);
  });

  await check('a wrong client secret is refused and the dialog says so', async () => {
    const dialog = await openDialog(page);
    const form = container(dialog, 'clientCredentials');
    await form.getByRole('button', { name: 'Remove authorization' }).click();
    await form.locator('#client_id_clientCredentials').fill(client.client_id);
    await form.locator('#client_secret_clientCredentials').fill('not-the-secret');
    await form.locator('button.authorize').click();
    const error = form.locator('.errors').first();
    await error.waitFor();
    assert.match(await error.innerText(), /unknown client or wrong secret/);
    await error.scrollIntoViewIfNeeded();
    await shot('7-wrong-secret');
    await closeDialog(dialog);
  });

  await check('no request left the machine', () => {
    assert.ok(seen.requests.length > 10, 'requests were not watched');
    assert.deepEqual(seen.elsewhere, []);
  });

  await check('the console is free of errors and warnings', () => {
    // The browser reports refused requests there; the two 401 were asked for above.
    const unexpected = seen.problems.filter((problem) => !/status of 401/.test(problem));
    assert.deepEqual(unexpected, []);
  });
}

async function main() {
  await mkdir(OUT, { recursive: true });
  const dir = await mkdtemp(path.join(tmpdir(), 'cost-keeper-browser-'));
  const watchdog = setTimeout(() => fail(`not finished after ${TOTAL_MS} ms`), TOTAL_MS);
  let service;
  let context;
  try {
    service = await startService(dir);
    context = await chromium.launchPersistentContext(path.join(dir, 'profile'), {
      executablePath: CHROMIUM,
      headless: true,
      timeout: START_MS,
      viewport: { width: 1280, height: 1000 },
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        // Should anything ask for another host in spite of it all, it gets nowhere.
        '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
      ],
    });
    await run(service, context);
  } finally {
    await context?.close();
    const exit = await service?.stop();
    if (service) await check('the service stops cleanly', () => assert.equal(exit, 0));
    clearTimeout(watchdog);
    await rm(dir, { recursive: true, force: true });
  }
  console.log(`screenshots: ${OUT}`);
  console.log(`${results.passed} passed, ${results.failed} failed`);
  process.exitCode = results.failed === 0 ? 0 : 1;
}

main().catch((error) => fail(error.stack ?? error));
