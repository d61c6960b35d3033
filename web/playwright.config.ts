import { defineConfig } from '@playwright/test';

/** The tests of the page in a browser. `python -m pytest tests/web` starts the stack and gives its addresses. */
export default defineConfig({
  testDir: 'e2e',
  outputDir: 'test-results',
  fullyParallel: true,
  workers: 2,
  retries: 0,
  timeout: 45_000,
  expect: { timeout: 15_000 },
  reporter: [['line']],
  use: {
    baseURL: process.env.PAGE_URL,
    locale: 'en-GB',
    timezoneId: 'UTC',
    viewport: { width: 1280, height: 800 },
    launchOptions: { executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] },
    permissions: ['clipboard-read', 'clipboard-write'],
  },
});
