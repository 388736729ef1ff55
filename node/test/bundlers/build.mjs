// Bundles a program of a project as the README says: into a folder `out`, as `app.mjs` or `app.cjs`.

import { fileURLToPath } from 'node:url';
import commonjs from '@rollup/plugin-commonjs';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import * as esbuild from 'esbuild';
import { rollup } from 'rollup';
import * as vite from 'vite';
import webpack from 'webpack';

const OURS = /^@portlease\//;

async function withEsbuild({ project, entry, out }, format, options) {
  const outfile = `${out}/app.${format === 'esm' ? 'mjs' : 'cjs'}`;
  const built = await esbuild.build({
    ...{ absWorkingDir: project, entryPoints: [entry], bundle: true, platform: 'node', format, outfile },
    ...options,
    logLevel: 'silent',
  });
  return built.warnings.map(({ text }) => text);
}

function withWebpack({ project, entry, out }, options, output = { filename: 'app.cjs' }) {
  const all = {
    mode: 'production',
    optimization: { minimize: false },
    target: 'node',
    context: project,
    entry: `./${entry}`,
    ...options,
  };
  return new Promise((resolve, reject) => {
    webpack({ ...all, output: { path: out, ...output } }, (error, stats) => {
      const failure = error ?? stats.compilation.errors[0];
      if (failure) reject(failure);
      else resolve(stats.compilation.getWarnings().map(({ message }) => message));
    });
  });
}

async function withRollup({ project, entry, out }) {
  const warnings = [];
  const bundle = await rollup({
    input: `${project}/${entry}`,
    plugins: [nodeResolve({ preferBuiltins: true }), commonjs()],
    external: [OURS, /^node:/],
    onwarn: ({ message }) => warnings.push(message),
  });
  await bundle.write({ file: `${out}/app.mjs`, format: 'es' });
  return warnings;
}

async function withVite({ project, entry, out }) {
  const warnings = [];
  const customLogger = { ...vite.createLogger('silent'), warn: (text) => warnings.push(text) };
  await vite.build({
    ...{ configFile: false, root: project, customLogger },
    build: {
      reportCompressedSize: false,
      emptyOutDir: false,
      ssr: entry,
      outDir: out,
      rollupOptions: { external: [OURS], output: { entryFileNames: 'app.mjs' } },
    },
    ssr: { noExternal: true },
  });
  return warnings;
}

const EXTERNAL = { external: ['@portlease/*'] };
const COPY = { loader: { '.node': 'copy' } };
const BANNER = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";
const NODE_LOADER = {
  module: { rules: [{ test: /\.node$/, loader: fileURLToPath(import.meta.resolve('node-loader')) }] },
  ignoreWarnings: [/Can't resolve '@portlease\//],
};

/**
 * Each way: what makes the bundle out of `entry` in `project` and answers with its warnings; the kind of the program;
 * whether the bundle needs `node_modules/@portlease` beside it.
 */
export const WAYS = {
  'esbuild, ES module': { program: 'mjs', beside: true, build: (what) => withEsbuild(what, 'esm', EXTERNAL) },
  'esbuild, ES module, with the binary': {
    program: 'mjs',
    build: (what) => withEsbuild(what, 'esm', { ...COPY, banner: { js: BANNER } }),
  },
  'esbuild, CommonJS, with the binary': { program: 'main.mjs', build: (what) => withEsbuild(what, 'cjs', COPY) },
  'esbuild, CommonJS': { program: 'cjs', beside: true, build: (what) => withEsbuild(what, 'cjs', EXTERNAL) },
  'webpack, CommonJS, with the binary': { program: 'cjs', build: (what) => withWebpack(what, NODE_LOADER) },
  'webpack, CommonJS': {
    program: 'cjs',
    beside: true,
    build: (what) => withWebpack(what, { externals: [OURS], externalsType: 'commonjs' }),
  },
  'webpack, ES module': {
    program: 'mjs',
    beside: true,
    build: (what) =>
      withWebpack(
        what,
        { externals: [OURS], externalsType: 'node-commonjs', experiments: { outputModule: true } },
        { filename: 'app.mjs', module: true, chunkFormat: 'module' },
      ),
  },
  'rollup, ES module': { program: 'mjs', beside: true, build: withRollup },
  'vite, everything in one': { program: 'mjs', beside: true, build: withVite },
};
