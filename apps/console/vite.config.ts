import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Smaller ones gain nothing. */
const COMPRESSED_BYTES_MIN = 1_024;
const COMPRESSIBLE = /\.(?:js|css|html|svg)$/;

/** Writes `x.br` and `x.gz` beside each file: the server sends them as they are and compresses nothing itself. */
function compress(): Plugin {
  let outDir = "";
  return {
    name: "compress",
    apply: "build",
    configResolved(config) {
      outDir = join(config.root, config.build.outDir);
    },
    async closeBundle() {
      const names = (await readdir(outDir, { recursive: true })).filter((name) => COMPRESSIBLE.test(name));
      await Promise.all(names.map((name) => compressFile(join(outDir, name))));
    },
  };
}

async function compressFile(path: string): Promise<void> {
  const content = await readFile(path);
  if (content.length < COMPRESSED_BYTES_MIN) return;
  await writeFile(`${path}.br`, await promisify(brotliCompress)(content));
  await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: 9 }));
}

export default defineConfig({
  // Where the server serves it.
  base: "/console/",
  plugins: [react(), compress()],
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    // Inlined files would be data: URLs, which the content security policy allows for images only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // Kilobytes. The official SDK is most of it.
    chunkSizeWarningLimit: 800,
  },
  // `npx vite apps/console`: with the API of a server that runs beside it.
  server: { proxy: { "/v1": "http://127.0.0.1:8787", "/sandbox0": "http://127.0.0.1:8787" } },
});
