import { defineConfig } from '@playwright/test';
import base from './playwright.config.ts';

/** The pictures of the README; `make screenshots` starts the stack. */
export default defineConfig({ ...base, testDir: 'screenshots', fullyParallel: false, workers: 1, timeout: 120_000 });
